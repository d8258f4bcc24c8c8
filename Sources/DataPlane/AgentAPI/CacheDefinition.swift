// AgentAPI: what operator and agent say to each other over HTTP.
//
// - `CacheDefinition` is a cache that the operator requests, and `CachePath` its path.
// - `AgentReport` has a `CacheReport` for each cache. `ReadersReport` has a `ReaderStart` for each pod.
// - `AgentError` is the body of each response that is no success.
// - `RequestSignature` proves that a sender has the `AuthSecret`. `OrderNumber` tells the later of two orders.
// - `Capacity` is the rule by which an agent takes or refuses a definition.
// - `CallerPolicy` says whose tokens open a cache, and `JSONWebKeySet` has the keys for that.
// - `APIVersions` are the versions that a release understands. `Release` names this one.
// Invariants:
// - No message has a secret.
// - A new field is optional, and a report with an unknown word can still be read. Any other change of meaning needs a
//   new version.
// - A signature covers method, path, query, time, node and body: another node refuses it, and this one after 300 s.
// - The operator foresees the agent's answer by the same `Capacity`.
// Left to others: HTTP (NodeAPI, Controller), the effect of an order (Models), verification of tokens (NodeAPI).

/// A cache that the operator requests from one node's agent: the body of `PUT /v1/caches/{uid}`.
///
/// It has no secret: a warm-up Job or a pod brings keys, or the token of the role that the source names.
public struct CacheDefinition: Codable, Equatable, Sendable {
    /// The source of the model's bytes. A cache's socket serves only this source.
    public struct Source: Codable, Equatable, Sendable {
        /// `oss://bucket/prefix/` or `s3://bucket/prefix/`; the prefix may be empty.
        public var uri: String
        /// `http(s)://host[:port]` or a bare host, which means https. Nil: derived from the region.
        public var endpoint: String?
        /// Such as `cn-hangzhou`.
        public var region: String?
        /// Shell patterns of relative keys; empty: every object.
        public var include: [String]
        /// `Auto`, `Virtual`, `Path` or `CNAME`; nil: `Auto`.
        public var addressing: String?
        /// The caller's account pays for requests; nil: the bucket's owner.
        public var requesterPays: Bool?
        /// The role that the source is read as; nil: callers bring keys, or none for a public bucket.
        public var role: SourceRole?
        /// Warm-up Jobs bring keys and other callers none: those read what arrives with the Jobs' keys. Nil: a caller
        /// without keys reads as nobody. Not with ``role``.
        public var needsKeys: Bool?
        /// The only listing that may be fetched, as ``CacheReport/digest`` tells one; nil: any. It may change.
        public var digest: String?

        public init(
            uri: String, endpoint: String? = nil, region: String? = nil, include: [String] = [],
            addressing: String? = nil, requesterPays: Bool? = nil, role: SourceRole? = nil,
            needsKeys: Bool? = nil, digest: String? = nil
        ) {
            self.uri = uri
            self.endpoint = endpoint
            self.region = region
            self.include = include
            self.addressing = addressing
            self.requesterPays = requesterPays
            self.role = role
            self.needsKeys = needsKeys
            self.digest = digest
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            uri = try container.decode(String.self, forKey: .uri)
            endpoint = try container.decodeIfPresent(String.self, forKey: .endpoint)
            region = try container.decodeIfPresent(String.self, forKey: .region)
            include = try container.decodeIfPresent([String].self, forKey: .include) ?? []
            addressing = try container.decodeIfPresent(String.self, forKey: .addressing)
            requesterPays = try container.decodeIfPresent(Bool.self, forKey: .requesterPays)
            role = try container.decodeIfPresent(SourceRole.self, forKey: .role)
            needsKeys = try container.decodeIfPresent(Bool.self, forKey: .needsKeys)
            digest = try container.decodeIfPresent(String.self, forKey: .digest)
        }
    }

    /// The medium of the bytes on the node.
    public enum Medium: String, Codable, Equatable, Hashable, Sendable, CaseIterable {
        /// A tmpfs for this cache, with huge pages.
        case memory = "Memory"
        /// A directory on the node's disk.
        case disk = "Disk"
    }

    /// Namespace of the ModelCache.
    public var namespace: String
    /// Name of the ModelCache.
    public var name: String
    public var source: Source
    public var medium: Medium
    /// Bytes of all the model's files. It sizes the volume and, while pinned, the reservation in the node's budget.
    public var sizeBytes: Int64
    /// Whether the bytes stay without readers, as on seeders and Eager nodes.
    public var pinned: Bool
    /// An unpinned cache drops its bytes after this time without a client; 0: keeps them.
    public var idleSeconds: Int
    /// The most bytes a second that its fill receives on this node; nil: no limit.
    public var bandwidthLimit: Int64?
    /// The clients that may open the cache; nil: any that can reach its socket, as without a cluster.
    public var callers: CallerPolicy?

    public init(
        namespace: String, name: String, source: Source, medium: Medium = .memory, sizeBytes: Int64,
        pinned: Bool = true,
        idleSeconds: Int = 0, bandwidthLimit: Int64? = nil, callers: CallerPolicy? = nil
    ) {
        self.namespace = namespace
        self.name = name
        self.source = source
        self.medium = medium
        self.sizeBytes = sizeBytes
        self.pinned = pinned
        self.idleSeconds = idleSeconds
        self.bandwidthLimit = bandwidthLimit
        self.callers = callers
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        namespace = try container.decode(String.self, forKey: .namespace)
        name = try container.decode(String.self, forKey: .name)
        source = try container.decode(Source.self, forKey: .source)
        medium = try container.decode(Medium.self, forKey: .medium)
        sizeBytes = try container.decode(Int64.self, forKey: .sizeBytes)
        pinned = try container.decodeIfPresent(Bool.self, forKey: .pinned) ?? true
        idleSeconds = try container.decodeIfPresent(Int.self, forKey: .idleSeconds) ?? 0
        bandwidthLimit = try container.decodeIfPresent(Int64.self, forKey: .bandwidthLimit)
        callers = try container.decodeIfPresent(CallerPolicy.self, forKey: .callers)
    }
}
