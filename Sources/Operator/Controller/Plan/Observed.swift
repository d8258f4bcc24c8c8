public import AgentAPI

/// Everything one plan is made from: a ModelCache and the world around it at one moment.
public struct Observed: Sendable {
    public enum SpecReading: Sendable, Equatable {
        case valid(CacheSpec)
        /// What is wrong, field by field, with the remedy.
        case invalid(String)
    }

    /// What an earlier operator, or this one, wrote to `status` and still relies on.
    public struct Recorded: Sendable, Equatable {
        public var generation: Int64?
        /// ``CacheSpec/sourceHash`` of the source that was resolved; empty before.
        public var sourceHash: String
        public var source: ResolvedSource?
        public var seeders: [String]
        /// The region that the nodes gave when the source was resolved.
        public var region: String?
        /// What volume and copies were made for.
        public var medium: CacheDefinition.Medium?

        public init(
            generation: Int64? = nil, sourceHash: String = "", source: ResolvedSource? = nil, seeders: [String] = [],
            region: String? = nil, medium: CacheDefinition.Medium? = nil
        ) {
            self.generation = generation
            self.sourceHash = sourceHash
            self.source = source
            self.seeders = seeders
            self.region = region
            self.medium = medium
        }
    }

    public var owner: Owner
    public var generation: Int64
    public var hasFinalizer: Bool
    /// When somebody asked for its deletion.
    public var deletedAt: WallTime?
    /// A person asks for copies to be dropped and fetched again.
    public var evictionRequest: EvictionWish?
    public var spec: SpecReading
    public var recorded: Recorded
    /// All nodes of the cluster, by name.
    public var nodes: [String: NodeView]
    /// All agents, by node.
    public var agents: [String: AgentView]
    /// Every agent was asked at least once since this operator started.
    public var agentsAreKnown: Bool
    /// What the agents say of this ModelCache, by node.
    public var reports: [String: CacheReport]
    /// Its Jobs.
    public var jobs: [JobView]
    public var claim: ClaimView?
    public var volume: VolumeView?
    public var resolution: Resolution
    public var memory: Memory
    /// Image of the warm-up Jobs.
    public var image: String
    /// Who may open caches.
    public var callers = CallerKnowledge.unverified

    public init(
        owner: Owner, generation: Int64 = 1, hasFinalizer: Bool = true, deletedAt: WallTime? = nil,
        evictionRequest: EvictionWish? = nil, spec: SpecReading,
        recorded: Recorded = Recorded(), nodes: [String: NodeView] = [:], agents: [String: AgentView] = [:],
        agentsAreKnown: Bool = true, reports: [String: CacheReport] = [:], jobs: [JobView] = [], claim: ClaimView? = nil,
        volume: VolumeView? = nil, resolution: Resolution = Resolution(), memory: Memory = Memory(), image: String = "modelcache/agent"
    ) {
        self.owner = owner
        self.generation = generation
        self.hasFinalizer = hasFinalizer
        self.deletedAt = deletedAt
        self.evictionRequest = evictionRequest
        self.spec = spec
        self.recorded = recorded
        self.nodes = nodes
        self.agents = agents
        self.agentsAreKnown = agentsAreKnown
        self.reports = reports
        self.jobs = jobs
        self.claim = claim
        self.volume = volume
        self.resolution = resolution
        self.memory = memory
        self.image = image
    }
}

/// The annotation `modelcache.io/evict-requested`, read.
public struct EvictionWish: Sendable, Equatable {
    /// Nil: every node that has a copy.
    public var node: String?
    /// As it stands on the object, so that a newer request is not taken for this one.
    public var text: String

    public init(node: String?, text: String) {
        self.node = node
        self.text = text
    }
}
