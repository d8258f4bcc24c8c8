internal import TextCoding

/// The reason why a principal gave no credentials. It holds no secret.
public struct CredentialsProblem: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The service said no, or a setting or token is wrong: asking again soon is of no use.
        case refused
        /// The service did not answer, or not in its own terms: it may answer later.
        case unavailable
    }

    public let kind: Kind
    public let principal: Principal
    /// The failure in words, as half a sentence.
    public let detail: String
    public let remedy: String
    /// The service's own code, such as `EntityNotExist.Role`.
    public let code: String?
    public let requestID: String?

    public init(
        _ kind: Kind, _ principal: Principal, _ detail: String, remedy: String, code: String? = nil,
        requestID: String? = nil
    ) {
        self.kind = kind
        self.principal = principal
        self.detail = detail.prefix(bytes: 500).oneLine
        self.remedy = remedy
        self.code = code?.prefix(bytes: 100).oneLine
        self.requestID = requestID?.prefix(bytes: 100).oneLine
    }

    public var description: String { "\(error())" }

    /// The same as an error of the store.
    ///
    /// - Parameter retryAfter: until the service is asked again.
    func error(retryAfter: Duration? = nil) -> StoreError {
        StoreError(
            kind == .refused ? .credentialsRefused : .credentialsUnavailable,
            detail: "\(principal) gave no credentials: \(detail)", remedy: remedy, code: code, requestID: requestID,
            retryAfter: kind == .refused ? nil : retryAfter)
    }
}

extension StoreError {
    /// The same refusal, with the principal whose rights were too few, where it is a role: its keys are nothing that a
    /// person could correct.
    func naming(_ principal: Principal, bucket: String) -> StoreError {
        guard principal.isRole else { return self }
        let remedy: String
        switch kind {
        case .accessDenied: remedy = "grant \(principal) read and list rights on bucket \(bucket)"
        case .wrongKey, .wrongSecret, .expiredToken:
            remedy = "see that the role still exists and that its session was not revoked"
        default: return self
        }
        return StoreError(
            kind, detail: "\(detail) (asked as \(principal))", remedy: remedy, status: status, code: code,
            requestID: requestID, retryAfter: retryAfter)
    }
}
