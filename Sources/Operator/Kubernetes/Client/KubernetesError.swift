/// A failed request and its cause. The text has verb, resource and name.
public struct KubernetesError: Error, Sendable, CustomStringConvertible {
    /// The cause of a failure.
    public enum Cause: Sendable {
        /// The server refused and said why.
        case status(Status)
        /// No connection, or a broken one: DNS, TCP, TLS. The text says what to look at.
        case connection(String)
        /// No complete response within this time.
        case timeout(Duration)
        /// The response, or one line of a watch, is larger than this many bytes; see ``ClientOptions``.
        case tooLarge(limit: Int)
        /// The response does not fit the type. The text names the field, never the content.
        case undecodable(String)
        /// Nothing was sent: no server could take the name, the namespace or the body.
        case invalidRequest(String)
        /// Nothing was sent: credentials or certificates could not be read.
        case credentials(ConfigurationError)
    }

    public var cause: Cause
    public var verb: Verb
    /// Plural, group and subresource: "jobs.batch", "modelcaches.modelcache.io/status".
    public var resource: String
    /// Nil for a list, a watch, and requests without a name.
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
    /// The server's `Status`, when it sent one.
    public var status: Status? {
        if case .status(let status) = cause { status } else { nil }
    }

    private func has(_ code: Int, _ reasons: String...) -> Bool {
        guard let status else { return false }
        if let reason = status.reason, !reason.isEmpty { return reasons.contains(reason) }
        return status.code == code
    }

    /// 404: the object, or its kind, does not exist.
    public var isNotFound: Bool { has(404, "NotFound") }
    /// 409 Conflict: another client wrote first; read again. (Not ``isAlreadyExists``, the other 409.)
    public var isConflict: Bool { has(409, "Conflict") }
    /// 409 AlreadyExists: the name is taken.
    public var isAlreadyExists: Bool { has(409, "AlreadyExists") }
    /// 410: the version or the continue token is too old; list again.
    public var isGone: Bool { has(410, "Gone", "Expired") }
    public var isForbidden: Bool { has(403, "Forbidden") }
    public var isUnauthorized: Bool { has(401, "Unauthorized") }
    /// 422: the object breaks the schema or a rule; ``fieldCauses`` names the fields.
    public var isInvalid: Bool { has(422, "Invalid") }
    /// 429: the server asks to come back later.
    public var isTooManyRequests: Bool { has(429, "TooManyRequests") }
    /// The namespace is being deleted, so nothing can be created in it any more.
    public var isNamespaceTerminating: Bool {
        guard isForbidden, let status else { return false }
        return status.details?.causes?.contains { $0.reason == "NamespaceTerminating" } ?? false
            || (status.message ?? "").contains("because it is being terminated")
    }
    /// The server's cache is behind the requested version, and will catch up.
    public var isTooLargeResourceVersion: Bool {
        guard let status, status.code == 504 || status.reason == "Timeout" else { return false }
        return status.details?.causes?.contains { $0.reason == "ResourceVersionTooLarge" } ?? false
            || (status.message ?? "").contains("Too large resource version")
    }
    /// The pause that the server asks for.
    public var retryAfter: Duration? {
        status?.details?.retryAfterSeconds.flatMap { $0 > 0 ? .seconds($0) : nil }
    }
    /// The fields at fault of an Invalid.
    public var fieldCauses: [StatusCause] { status?.details?.causes ?? [] }

    /// Whether the same request may succeed later although nobody changes anything: connection failures, time-outs,
    /// 429, 5xx.
    public var isTransient: Bool {
        switch cause {
        case .connection, .timeout: true
        case .status(let status): status.code == 429 || (status.code ?? 0) >= 500
        case .tooLarge, .undecodable, .invalidRequest, .credentials: false
        }
    }
}
