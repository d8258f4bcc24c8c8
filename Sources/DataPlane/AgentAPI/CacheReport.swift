/// One cache as its agent sees it: the response to `PUT`, and an entry of ``AgentReport``.
public struct CacheReport: Codable, Equatable, Sendable {
    public enum State: Codable, Hashable, Sendable {
        /// Volume and socket exist. No bytes are there yet, or the agent dropped them for want of readers.
        case prepared
        /// Bytes arrive, or some are there and a client must continue the fill.
        case filling
        /// Every file is complete and verified.
        case ready
        /// The last attempt ended with ``CacheReport/error``; the next client tries again.
        case failed
        /// A word of another release: neither ready nor failed, as far as this one can say.
        case other(String)

        private static let words: [(state: State, word: String)] = [
            (.prepared, "Prepared"), (.filling, "Filling"), (.ready, "Ready"), (.failed, "Failed"),
        ]

        public var word: String {
            if case .other(let word) = self { return word }
            return Self.words.first { $0.state == self }?.word ?? ""
        }

        public init(word: String) { self = Self.words.first { $0.word == word }?.state ?? .other(word) }

        public init(from decoder: any Decoder) throws {
            self.init(word: try decoder.singleValueContainer().decode(String.self))
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(word)
        }
    }

    /// Why the last attempt failed; kept until the next one.
    public struct Failure: Codable, Equatable, Sendable {
        /// A word in CamelCase, see ``AgentErrorCode``; equal to the ModelCache's condition reason where there is one.
        public var code: String
        /// One line with the remedy, without secrets.
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
    /// `sha256:<hex>` over the listing (SourceDigest); nil before the first listing.
    public var digest: String?
    /// Listed files; 0 before the first listing.
    public var files: Int
    /// Bytes of the listed files; before the first listing the definition's size.
    public var bytesTotal: Int64
    /// Bytes present on this node.
    public var bytesCached: Int64
    /// Mean over the last seconds; 0 when no bytes arrive.
    public var bytesPerSecond: Int64
    /// Seconds until the cache is complete at the present rate; nil when unknown.
    public var remainingSeconds: Int64?
    /// Bytes read from the store for this cache since this agent process began.
    public var originBytes: Int64
    /// Bytes read from other nodes since this agent process began.
    public var peerBytes: Int64
    /// Bytes copied from other caches of the node since this agent process began.
    public var copiedBytes: Int64
    /// Of ``bytesPerSecond`` what comes from the store.
    public var originBytesPerSecond: Int64
    /// Of ``peerBytes`` the nodes that gave the most, at most ``PeerTraffic/most``.
    public var peers: [PeerTraffic]
    public var pinned: Bool
    /// Clients connected to the cache's socket that have the model open.
    public var users: Int
    /// When a client last had the model open, in seconds since 1970 by the agent's clock; 0: never. When capacity is
    /// needed, the cache that was used the longest ago is evicted first. Nil: nothing evicts it, or the agent is of an
    /// earlier release.
    public var lastUsed: Int64?
    public var error: Failure?
    /// ``CallerPolicy/digest`` of the current policy; nil: every client that can reach the socket is served.
    public var callersDigest: String?

    public init(
        uid: String, namespace: String, name: String, source: CacheDefinition.Source, medium: CacheDefinition.Medium,
        state: State, digest: String? = nil, files: Int = 0, bytesTotal: Int64 = 0, bytesCached: Int64 = 0,
        bytesPerSecond: Int64 = 0, remainingSeconds: Int64? = nil, originBytes: Int64 = 0, peerBytes: Int64 = 0,
        copiedBytes: Int64 = 0, originBytesPerSecond: Int64 = 0, peers: [PeerTraffic] = [], pinned: Bool,
        users: Int = 0, lastUsed: Int64? = nil, error: Failure? = nil, callersDigest: String? = nil
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
        self.copiedBytes = copiedBytes
        self.originBytesPerSecond = originBytesPerSecond
        self.peers = peers
        self.pinned = pinned
        self.users = users
        self.lastUsed = lastUsed
        self.error = error
        self.callersDigest = callersDigest
    }

    /// Reads the report of an earlier or later release: only the uid must be there.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        uid = try container.decode(String.self, forKey: .uid)
        namespace = container.tolerated(.namespace) ?? ""
        name = container.tolerated(.name) ?? ""
        source = container.tolerated(.source) ?? CacheDefinition.Source(uri: "")
        medium = container.tolerated(.medium) ?? .memory
        state = container.tolerated(.state) ?? .other("")
        digest = container.tolerated(.digest)
        files = container.tolerated(.files) ?? 0
        bytesTotal = container.toleratedBytes(.bytesTotal) ?? 0
        bytesCached = container.toleratedBytes(.bytesCached) ?? 0
        bytesPerSecond = container.toleratedBytes(.bytesPerSecond) ?? 0
        remainingSeconds = container.tolerated(.remainingSeconds)
        originBytes = container.toleratedBytes(.originBytes) ?? 0
        peerBytes = container.toleratedBytes(.peerBytes) ?? 0
        copiedBytes = container.toleratedBytes(.copiedBytes) ?? 0
        originBytesPerSecond = container.toleratedBytes(.originBytesPerSecond) ?? 0
        let peers: [Tolerated<PeerTraffic>]? = container.tolerated(.peers)
        self.peers = Array((peers ?? []).compactMap(\.value).prefix(PeerTraffic.most))
        pinned = container.tolerated(.pinned) ?? false
        users = container.tolerated(.users) ?? 0
        lastUsed = container.tolerated(.lastUsed)
        error = container.tolerated(.error)
        callersDigest = container.tolerated(.callersDigest)
    }
}
