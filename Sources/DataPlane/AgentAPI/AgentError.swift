/// The body of every answer that is not a success.
public struct AgentError: Error, Codable, Equatable, Sendable, CustomStringConvertible {
    /// A word of ``AgentErrorCode``; a newer agent may know more.
    public var code: String
    /// What is wrong, in one sentence.
    public var message: String
    /// What to do about it.
    public var remedy: String
    /// With ``AgentErrorCode/insufficientCapacity``: bytes asked for.
    public var neededBytes: Int64?
    /// With ``AgentErrorCode/insufficientCapacity``: bytes that could be promised.
    public var freeBytes: Int64?
    /// With ``AgentErrorCode/inUse``: clients that have the cache open.
    public var users: Int?

    public init(
        _ code: AgentErrorCode, _ message: String, remedy: String, neededBytes: Int64? = nil, freeBytes: Int64? = nil,
        users: Int? = nil
    ) {
        self.code = code.rawValue
        self.message = message
        self.remedy = remedy
        self.neededBytes = neededBytes
        self.freeBytes = freeBytes
        self.users = users
    }

    /// The code where this version knows it.
    public var known: AgentErrorCode? { AgentErrorCode(rawValue: code) }

    public var description: String { remedy.isEmpty ? message : "\(message); \(remedy)" }
}

/// The words of ``AgentError/code`` and ``CacheReport/Failure/code``. Those that are also reasons of a ModelCache's
/// conditions are spelled the same.
public enum AgentErrorCode: String, Sendable, CaseIterable {
    // The request.
    /// 401: no signature, a wrong one, or one for another node; says nothing of what exists.
    case unauthorized = "Unauthorized"
    /// 401: the signature is right, its time is not. The agent's own time is in the `Date` header.
    case clockSkewed = "ClockSkewed"
    /// 409: the agent has carried out an order for this cache that was signed later, or started since; sign it anew.
    case superseded = "Superseded"
    /// 403: the agent has no auth secret, so it takes no orders over HTTP.
    case notConfigured = "NotConfigured"
    /// 400: the body is no JSON, or a field's value cannot be; the message names the field.
    case invalidDefinition = "InvalidDefinition"
    /// 404: no such path.
    case notFound = "NotFound"
    /// 405: the path knows other methods.
    case methodNotAllowed = "MethodNotAllowed"
    /// 413: the body is longer than ``CachePath/maximumBodyBytes``.
    case bodyTooLarge = "BodyTooLarge"

    // The cache.
    /// 409: this uid is known with another source or medium.
    case sourceImmutable = "SourceImmutable"
    /// 409: clients have it open; `force=true` evicts anyway.
    case inUse = "InUse"
    /// 507: the budget has not that much to promise.
    case insufficientCapacity = "InsufficientCapacity"
    /// 500: the node's file system refused; the message tells.
    case volumeFailed = "VolumeFailed"

    // The fill; ``CacheReport/Failure/code`` alone.
    case invalidSpec = "InvalidSpec"
    case accessDenied = "AccessDenied"
    case noSuchBucket = "NoSuchBucket"
    case sourceEmpty = "SourceEmpty"
    case endpointUnreachable = "EndpointUnreachable"
    /// Any other answer of the store.
    case storeError = "StoreError"
    /// An object changed, or its bytes do not match the store's digest.
    case contentMismatch = "ContentMismatch"

    /// The HTTP status that goes with it.
    public var httpStatus: Int {
        switch self {
        case .unauthorized, .clockSkewed: 401
        case .notConfigured: 403
        case .invalidDefinition, .invalidSpec: 400
        case .notFound: 404
        case .methodNotAllowed: 405
        case .bodyTooLarge: 413
        case .sourceImmutable, .inUse, .superseded: 409
        case .insufficientCapacity: 507
        case .volumeFailed, .accessDenied, .noSuchBucket, .sourceEmpty, .endpointUnreachable, .storeError, .contentMismatch: 500
        }
    }
}
