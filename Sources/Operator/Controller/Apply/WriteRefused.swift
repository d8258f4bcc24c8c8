internal import Kubernetes

/// The API server refuses to let something be made, and would do so again: a quota, an admission webhook, Pod Security,
/// a missing permission, a name that is taken.
struct WriteRefused: Error {
    var message: String

    init(message: String) { self.message = message }

    /// Nil when the error is of another kind. Admission may answer with any 4xx code.
    init?(_ error: KubernetesError, what: String) {
        guard let status = error.status, let code = status.code, (400..<500).contains(code), code != 401, code != 404,
            code != 408,
            code != 409, code != 410, code != 429
        else { return nil }
        let words = Words.line(status.message ?? status.reason ?? "HTTP \(code)", limit: 500)
        message =
            error.isNamespaceTerminating
            ? "the namespace is being deleted"
            : "the API server refuses \(what): \(words); see quotas, limits and admission policies of the namespace"
    }
}
