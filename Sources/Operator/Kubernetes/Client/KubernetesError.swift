/// Why a request failed, with what was asked: verb, resource and name are in the text.
public struct KubernetesError: Error, Sendable, CustomStringConvertible {
    /// What went wrong.
    public enum Cause: Sendable {
        /// The server refused and said why.
        case status(Status)
        /// No connection, or it broke: DNS, TCP, TLS. Says what to look at.
        case connection(String)
        /// No whole answer within the time allowed.
        case timeout(Duration)
        /// The answer, or one line of a watch, is larger than this many bytes; see ``ClientOptions``.
        case tooLarge(limit: Int)
        /// The answer is not what the type expects. Names the field, never the content.
        case undecodable(String)
        /// Nothing was sent: a name, a namespace or a body that no server could take.
        case invalidRequest(String)
        /// Nothing was sent: credentials or certificates could not be had.
        case credentials(ConfigurationError)
    }

    public var cause: Cause
    public var verb: Verb
    /// Plural and group with the subresource: "jobs.batch", "modelcaches.modelcache.io/status".
    public var resource: String
    /// Nil for a list, a watch, and what has no name.
    public var key: ObjectKey?

    public init(_ cause: Cause, verb: Verb, resource: String, key: ObjectKey? = nil) {
        self.cause = cause
        self.verb = verb
        self.resource = resource
        self.key = key
    }

    public var description: String {
        let what = "\(verb.rawValue) \(resource)" + (key.map { " \($0)" } ?? "")
        return switch cause {
        case .status(let status):
            "\(what): \(status.message ?? status.reason ?? "refused without a message") (HTTP \(status.code ?? 0))"
        case .connection(let text): "\(what): \(text)"
        case .timeout(let limit): "\(what): no answer within \(limit); is the API server overloaded or unreachable?"
        case .tooLarge(let limit): "\(what): the answer is larger than \(limit) bytes; ask for smaller pages"
        case .undecodable(let text): "\(what): the answer could not be understood: \(text)"
        case .invalidRequest(let text): "\(what): not sent: \(text)"
        case .credentials(let error): "\(what): not sent: \(error)"
        }
    }
}

extension KubernetesError {
    /// The server's account, when there is one.
    public var status: Status? {
        if case .status(let status) = cause { status } else { nil }
    }

    private func has(_ code: Int, _ reasons: String...) -> Bool {
        guard let status else { return false }
        if let reason = status.reason, !reason.isEmpty { return reasons.contains(reason) }
        return status.code == code
    }

    /// 404: the object, or the kind itself, is not there.
    public var isNotFound: Bool { has(404, "NotFound") }
    /// 409 Conflict: someone else wrote first; read again. (Not ``isAlreadyExists``, the other 409.)
    public var isConflict: Bool { has(409, "Conflict") }
    /// 409 AlreadyExists: a creation met an object of that name.
    public var isAlreadyExists: Bool { has(409, "AlreadyExists") }
    /// 410: the version or the continue token is too old; list again.
    public var isGone: Bool { has(410, "Gone", "Expired") }
    public var isForbidden: Bool { has(403, "Forbidden") }
    public var isUnauthorized: Bool { has(401, "Unauthorized") }
    /// 422: the object breaks the schema or a rule; ``fieldCauses`` names the fields.
    public var isInvalid: Bool { has(422, "Invalid") }
    public var isBadRequest: Bool { has(400, "BadRequest") }
    /// 429: the server asks to come back later.
    public var isTooManyRequests: Bool { has(429, "TooManyRequests") }
    /// The namespace is being deleted: nothing can be created in it any more.
    public var isNamespaceTerminating: Bool {
        guard isForbidden, let status else { return false }
        return status.details?.causes?.contains { $0.reason == "NamespaceTerminating" } ?? false
            || (status.message ?? "").contains("because it is being terminated")
    }
    /// The server's cache is behind the version asked for; it will catch up.
    public var isTooLargeResourceVersion: Bool {
        guard let status, status.code == 504 || status.reason == "Timeout" else { return false }
        return status.details?.causes?.contains { $0.reason == "ResourceVersionTooLarge" } ?? false
            || (status.message ?? "").contains("Too large resource version")
    }
    /// How long the server asks to wait.
    public var retryAfter: Duration? {
        status?.details?.retryAfterSeconds.flatMap { $0 > 0 ? .seconds($0) : nil }
    }
    /// The fields at fault of an Invalid.
    public var fieldCauses: [StatusCause] { status?.details?.causes ?? [] }

    /// Whether the same request may well succeed later with nobody changing anything: connection failures,
    /// time-outs, 429, 5xx.
    public var isTransient: Bool {
        switch cause {
        case .connection, .timeout: true
        case .status(let status): status.code == 429 || (status.code ?? 0) >= 500
        case .tooLarge, .undecodable, .invalidRequest, .credentials: false
        }
    }
}
