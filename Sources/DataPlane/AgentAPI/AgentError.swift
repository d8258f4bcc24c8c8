/// The body of every response that is not a success.
public struct AgentError: Error, Codable, Hashable, Sendable, CustomStringConvertible {
    /// A word of ``AgentErrorCode``; a newer agent may use more words.
    public var code: String
    /// The problem, in one sentence.
    public var message: String
    /// The remedy.
    public var remedy: String
    /// With ``AgentErrorCode/insufficientCapacity``: the requested bytes.
    public var neededBytes: Int64?
    /// With ``AgentErrorCode/insufficientCapacity``: the bytes that the agent could reserve.
    public var freeBytes: Int64?
    /// With ``AgentErrorCode/inUse``: clients that have the cache open.
    public var users: Int?
    /// With ``AgentErrorCode/superseded``: the agent's epoch and highest number; nil: an agent of an earlier release.
    public var highestOrder: OrderNumber?

    public init(
        _ code: AgentErrorCode, _ message: String, remedy: String, neededBytes: Int64? = nil, freeBytes: Int64? = nil,
        users: Int? = nil, highestOrder: OrderNumber? = nil
    ) {
        self.code = code.rawValue
        self.message = message
        self.remedy = remedy
        self.neededBytes = neededBytes
        self.freeBytes = freeBytes
        self.users = users
        self.highestOrder = highestOrder
    }

    /// Another release may leave out or add anything but the code.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        code = try container.decode(String.self, forKey: .code)
        message = container.tolerated(.message) ?? ""
        remedy = container.tolerated(.remedy) ?? ""
        neededBytes = container.tolerated(.neededBytes)
        freeBytes = container.tolerated(.freeBytes)
        users = container.tolerated(.users)
        highestOrder = container.tolerated(.highestOrder)
    }

    /// The code; nil where this version does not know it.
    public var known: AgentErrorCode? { AgentErrorCode(rawValue: code) }

    public var description: String { remedy.isEmpty ? message : "\(message); \(remedy)" }
}

/// The words of ``AgentError/code`` and ``CacheReport/Failure/code``. Words that are also reasons of a ModelCache's
/// conditions are spelled the same.
public enum AgentErrorCode: String, Sendable, CaseIterable {
    // The request.
    /// 401: no signature, a wrong one, or one for another node; tells nothing of existing caches.
    case unauthorized = "Unauthorized"
    /// 401: the signature is right, but its time is not. The agent's own time is in the `Date` header.
    case clockSkewed = "ClockSkewed"
    /// 409: the agent has carried out a later order for this cache, or started since; number and sign it anew.
    case superseded = "Superseded"
    /// 403: the agent has no auth secret, so it takes no requests over HTTP.
    case notConfigured = "NotConfigured"
    /// 400: the body is no JSON, or a field's value is invalid; the message names the field.
    case invalidDefinition = "InvalidDefinition"
    /// 404: no such path.
    case notFound = "NotFound"
    /// 405: the path supports other methods.
    case methodNotAllowed = "MethodNotAllowed"
    /// 413: the body is longer than ``CachePath/maximumBodyBytes``.
    case bodyTooLarge = "BodyTooLarge"

    // The cache.
    /// 409: this uid exists with another source or medium.
    case sourceImmutable = "SourceImmutable"
    /// 409: clients have it open; `force=true` evicts anyway.
    case inUse = "InUse"
    /// 507: the budget is too small to reserve that much.
    case insufficientCapacity = "InsufficientCapacity"
    /// 500: the node's file system refused; the message has its error.
    case volumeFailed = "VolumeFailed"

    // The fill; only in ``CacheReport/Failure/code``.
    case invalidSpec = "InvalidSpec"
    case accessDenied = "AccessDenied"
    case noSuchBucket = "NoSuchBucket"
    case sourceEmpty = "SourceEmpty"
    /// An object is archived, or its encryption key refuses.
    case objectsUnreadable = "ObjectsUnreadable"
    case endpointUnreachable = "EndpointUnreachable"
    /// Any other response of the store.
    case storeError = "StoreError"
    /// An object changed, or its bytes do not match the store's digest.
    case contentMismatch = "ContentMismatch"
    /// The source holds another listing than ``CacheDefinition/Source/digest`` allows.
    case digestMismatch = "DigestMismatch"

    /// The HTTP status of this code.
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
        case .volumeFailed, .accessDenied, .noSuchBucket, .sourceEmpty, .objectsUnreadable, .endpointUnreachable,
            .storeError, .contentMismatch, .digestMismatch:
            500
        }
    }
}
