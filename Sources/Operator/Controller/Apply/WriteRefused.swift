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

/// The API server failed at making something, and may do better at the next try: an admission webhook that does not
/// answer, a quota that others change at the same time, an overload. One that goes on counts as a refusal (see
/// ``Memory/ended(_:now:)``).
struct WriteFailed: Error {
    var message: String
    /// For the next try, which is not told yet.
    let cause: KubernetesError

    /// Nil where the server's answer says nothing about the object: there is none, or the credentials are at fault.
    init?(_ error: KubernetesError, what: String) {
        guard let status = error.status, !error.isUnauthorized else { return nil }
        let words = Words.line(status.message ?? status.reason ?? "HTTP \(status.code ?? 0)", limit: 500)
        message = "the API server could not make \(what): \(words); see the admission webhooks that are asked about it"
        cause = error
    }
}

extension KubernetesError {
    /// The meaning of the failure to make `what` for the next plan.
    func atCreation(of what: String) -> any Error {
        if let refused = WriteRefused(self, what: what) { return refused }
        return WriteFailed(self, what: what) ?? self
    }
}

extension KubernetesClient {
    /// Nil: there is none of that name. By a list: the operator has no right to get one.
    func findJob(_ key: ObjectKey) async throws -> JobOutline? {
        let named = ListOptions(fieldSelector: "metadata.name=\(key.name)")
        return try await listAll(JobOutline.self, in: key.namespace, named) { $0 }.items.first
    }
}
