/// One cache as its agent sees it: the answer to `PUT`, an entry of ``AgentReport``.
public struct CacheReport: Codable, Equatable, Sendable {
    public enum State: String, Codable, Equatable, Sendable, CaseIterable {
        /// Volume and socket stand; no bytes yet, or they were dropped for want of readers.
        case prepared = "Prepared"
        /// Bytes arrive, or some are there and wait for a client to go on.
        case filling = "Filling"
        /// Every file is whole and verified.
        case ready = "Ready"
        /// The last attempt ended with ``CacheReport/error``; the next client tries again.
        case failed = "Failed"
    }

    /// Why the last attempt failed; kept until the next one.
    public struct Failure: Codable, Equatable, Sendable {
        /// A word in CamelCase, see ``AgentErrorCode``; where it fits the word of the ModelCache's condition reasons.
        public var code: String
        /// One line with the remedy, no secret.
        public var message: String

        public init(code: String, message: String) {
            self.code = code
            self.message = message
        }
    }

    /// The ModelCache's `metadata.uid`.
    public var uid: String
    public var namespace: String
    public var name: String
    public var source: CacheDefinition.Source
    public var medium: CacheDefinition.Medium
    public var state: State
    /// `sha256:<hex>` over what was listed (SourceDigest); nil before the first listing.
    public var digest: String?
    /// Files listed; 0 before the first listing.
    public var files: Int
    /// Bytes of the listed files; before the first listing the definition's size.
    public var bytesTotal: Int64
    /// Bytes present on this node.
    public var bytesCached: Int64
    /// Over the last seconds; 0 when nothing arrives.
    public var bytesPerSecond: Int64
    /// Until whole at the present rate; nil when that cannot be said.
    public var remainingSeconds: Int64?
    /// Bytes read from the store for this cache since this agent process began.
    public var originBytes: Int64
    /// Bytes read from other nodes since this agent process began.
    public var peerBytes: Int64
    public var pinned: Bool
    /// Clients connected to the cache's socket that have the model open.
    public var users: Int
    public var error: Failure?
    /// ``CallerPolicy/digest`` of the policy in force; nil: whoever can reach the socket is served.
    public var callersDigest: String?

    public init(
        uid: String, namespace: String, name: String, source: CacheDefinition.Source, medium: CacheDefinition.Medium,
        state: State, digest: String? = nil, files: Int = 0, bytesTotal: Int64 = 0, bytesCached: Int64 = 0,
        bytesPerSecond: Int64 = 0, remainingSeconds: Int64? = nil, originBytes: Int64 = 0, peerBytes: Int64 = 0,
        pinned: Bool, users: Int = 0, error: Failure? = nil, callersDigest: String? = nil
    ) {
        self.uid = uid
        self.namespace = namespace
        self.name = name
        self.source = source
        self.medium = medium
        self.state = state
        self.digest = digest
        self.files = files
        self.bytesTotal = bytesTotal
        self.bytesCached = bytesCached
        self.bytesPerSecond = bytesPerSecond
        self.remainingSeconds = remainingSeconds
        self.originBytes = originBytes
        self.peerBytes = peerBytes
        self.pinned = pinned
        self.users = users
        self.error = error
        self.callersDigest = callersDigest
    }
}
