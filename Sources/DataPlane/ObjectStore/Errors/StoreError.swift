internal import TextCoding

/// A failure between this process and the object store, with the remedy in `description`.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    /// The kinds that callers tell apart.
    public enum Kind: String, Sendable, Hashable {
        /// A setting is wrong; the request was not sent.
        case settings
        /// The access key id is unknown to the store (`InvalidAccessKeyId`) or disabled.
        case wrongKey
        /// The secret does not belong to the key id (`SignatureDoesNotMatch`).
        case wrongSecret
        /// The key is right but may not do this (`AccessDenied`), or an anonymous request to a private bucket.
        case accessDenied
        /// The object is there and cannot be read: it is archived, its KMS key refuses, or its link leads nowhere.
        case unreadable
        /// The bucket lives in another region than the endpoint or `OSS_REGION` says.
        case wrongRegion
        case noSuchBucket
        case noSuchKey
        /// This machine's clock is off by more than the store tolerates (15 minutes).
        case clockSkew
        /// The security token has expired or is invalid, and reading the credentials again gave no other.
        case expiredToken
        /// A role gave no credentials: STS, the metadata service or the container's endpoint said no.
        case credentialsRefused
        /// A role's credentials are being fetched, or its service does not answer.
        case credentialsUnavailable
        /// The object was replaced since it was listed: another entity tag or size.
        case objectChanged
        /// The store asks for fewer requests (503, 429, `x-oss-qos-delay-time`).
        case throttled
        /// The store failed (5xx).
        case server
        /// Another 4xx answer.
        case refused
        case nameResolution
        case connectionRefused
        /// The connection could not be made otherwise, or broke.
        case connectionLost
        case tls
        case connectTimeout
        /// No or too few bytes for `stallTimeout`.
        case stalled
        /// The answer is not what was asked for: wrong status, Content-Range, length or XML.
        case malformedAnswer
        /// The sink threw; `detail` is what it said.
        case sink
        case cancelled
    }

    public let kind: Kind
    /// The HTTP status, nil when there was no answer.
    public let status: Int?
    /// The store's own error code, such as `NoSuchBucket`.
    public let code: String?
    /// The store's request id, for its support.
    public let requestID: String?
    /// How long the store asks us to wait (`Retry-After`, `x-oss-qos-delay-time`).
    public let retryAfter: Duration?
    /// No connection was made over which the request could be sent.
    public let isBeforeRequest: Bool
    /// The failure in words, without secrets.
    public let detail: String
    /// The remedy; empty when the only remedy is to try again.
    public let remedy: String

    public init(
        _ kind: Kind, detail: String, remedy: String = "", status: Int? = nil, code: String? = nil,
        requestID: String? = nil, retryAfter: Duration? = nil, isBeforeRequest: Bool = false
    ) {
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        self.status = status
        self.code = code
        self.requestID = requestID
        self.retryAfter = retryAfter
        self.isBeforeRequest = isBeforeRequest
    }

    /// One line: what failed, the remedy, then the store's code and request id.
    public var description: String {
        var line = detail.oneLine
        if !remedy.isEmpty { line += "; \(remedy)" }
        var facts: [String] = []
        if let status { facts.append("HTTP \(status)") }
        if let code { facts.append(code.oneLine) }
        if let requestID { facts.append("request \(requestID.oneLine)") }
        if !facts.isEmpty { line += " (\(facts.joined(separator: ", ")))" }
        return line
    }
}
