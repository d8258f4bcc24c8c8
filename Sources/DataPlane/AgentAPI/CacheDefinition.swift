/// What the operator asks one node's agent to keep ready: the body of `PUT /v1/caches/{uid}`.
///
/// The definition carries no credentials: a warm-up Job or a pod brings its own and proves them against the source.
public struct CacheDefinition: Codable, Equatable, Sendable {
    /// Where the model's bytes come from. A cache's socket serves this source and no other.
    public struct Source: Codable, Equatable, Sendable {
        /// `oss://bucket/prefix/` or `s3://bucket/prefix/`; the whole bucket is allowed.
        public var uri: String
        /// `http(s)://host[:port]` or a bare host, which means https. Nil: follows from the region.
        public var endpoint: String?
        /// Such as `cn-hangzhou`.
        public var region: String?
        /// Shell patterns of relative keys; empty: every object.
        public var include: [String]

        public init(uri: String, endpoint: String? = nil, region: String? = nil, include: [String] = []) {
            self.uri = uri
            self.endpoint = endpoint
            self.region = region
            self.include = include
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            uri = try container.decode(String.self, forKey: .uri)
            endpoint = try container.decodeIfPresent(String.self, forKey: .endpoint)
            region = try container.decodeIfPresent(String.self, forKey: .region)
            include = try container.decodeIfPresent([String].self, forKey: .include) ?? []
        }
    }

    /// What holds the bytes on the node.
    public enum Medium: String, Codable, Equatable, Hashable, Sendable, CaseIterable {
        /// A tmpfs of the cache's own, with huge pages.
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
    /// Bytes of the model's files together. The volume is sized and, while pinned, the node's budget reserved by it.
    public var sizeBytes: Int64
    /// Whether the bytes stay without readers: seeders and Eager nodes.
    public var pinned: Bool
    /// An unpinned cache drops its bytes after so long without a client; 0: keeps them.
    public var idleSeconds: Int
    /// Most bytes a second its fill receives on this node; nil: no limit.
    public var bandwidthLimit: Int64?
    /// Who may open the cache; nil: whoever can reach its socket, as where there is no cluster.
    public var callers: CallerPolicy?

    public init(
        namespace: String, name: String, source: Source, medium: Medium = .memory, sizeBytes: Int64, pinned: Bool = true,
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
