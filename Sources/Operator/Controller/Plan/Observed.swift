public import AgentAPI
public import CRD

/// Everything one plan is made from: a ModelCache and the world around it at one moment.
public struct Observed: Sendable {
    public enum SpecReading: Sendable, Equatable {
        case valid(CacheSpec)
        /// The faults, field by field, with the remedy.
        case invalid(String)
    }

    /// The state that an earlier operator, or this one, wrote to `status` and still relies on.
    public struct Recorded: Sendable, Equatable {
        public var generation: Int64?
        /// ``CacheSpec/fingerprint`` of the source that was resolved; empty before.
        public var fingerprint: String
        public var source: ResolvedSource?
        public var seeders: [String]
        /// The region that the nodes gave when the source was resolved.
        public var region: String?
        /// The medium that volume and caches were made for.
        public var medium: CacheDefinition.Medium?
        /// Why the source was not resolved, as the status has it; nil: it was, or was not listed yet.
        public var failure: SourceFailure?
        /// Nodes that had bytes of the model, as the status has them.
        public var copies: [String] = []
        /// Nodes that left the cluster with a copy, as the status has them.
        public var departed: DepartedNodes?
        /// Whether ``copies`` names all of them.
        public var namesAllCopies = false

        public init(
            generation: Int64? = nil, fingerprint: String = "", source: ResolvedSource? = nil, seeders: [String] = [],
            region: String? = nil, medium: CacheDefinition.Medium? = nil
        ) {
            self.generation = generation
            self.fingerprint = fingerprint
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
    public var evictionRequest: RequestedEviction?
    /// The ``RequestedEviction/mark`` of the request that an operator has begun to carry out.
    public var evictionBegun: String?
    /// A person asks that a deletion waits for no reader.
    public var forcesEviction = false
    public var spec: SpecReading
    public var recorded: Recorded
    /// The nodes that agents run on, by name (`--agent-node-selector`); without a selector all of the cluster.
    public var nodes: [String: NodeView]
    /// All agents, by node.
    public var agents: [String: AgentView]
    /// Every agent was asked at least once since this operator started.
    public var agentsAreKnown: Bool
    /// The agents' reports on this ModelCache, by node.
    public var reports: [String: CacheReport]
    /// Nodes with an order about this ModelCache that waits or is under way; its end makes another plan.
    public var ordered: Set<String> = []
    /// Its Jobs.
    public var jobs: [JobView]
    /// Pods that were given this ModelCache, are bound to a node and are not ready.
    public var waitingPods: [WaitingPod] = []
    public var claim: ClaimView?
    public var volume: VolumeView?
    public var resolution: Resolution
    /// Why its namespace's quota has no capacity for it; nil: it has.
    public var quotaExcess: QuotaExcess?
    public var memory: Memory
    /// Image of the warm-up Jobs.
    public var image: String
    /// Settings of their pods, where the ModelCache does not say otherwise.
    public var podTemplate = PodTemplate()
    /// Their way to the services that give roles.
    public var access = ServiceAccess()
    /// The nodes' folder for models on disk.
    public var diskPath = Names.standardDiskPath
    /// The callers that may open caches.
    public var callers = CallerKnowledge.unverified
    /// How long a Job may make no progress before its pods are looked at, and between two looks.
    public var startDeadline: Duration = .seconds(300)
    /// How often a source is listed though nothing asks for it; nil: never.
    public var sourceCheckInterval: Duration?

    public init(
        owner: Owner, generation: Int64 = 1, hasFinalizer: Bool = true, deletedAt: WallTime? = nil,
        evictionRequest: RequestedEviction? = nil, spec: SpecReading,
        recorded: Recorded = Recorded(), nodes: [String: NodeView] = [:], agents: [String: AgentView] = [:],
        agentsAreKnown: Bool = true, reports: [String: CacheReport] = [:], jobs: [JobView] = [],
        claim: ClaimView? = nil,
        volume: VolumeView? = nil, resolution: Resolution = Resolution(), memory: Memory = Memory(),
        image: String = "modelcache/agent"
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
public struct RequestedEviction: Sendable, Equatable {
    /// Nil: every node that has a copy.
    public var node: String?
    /// As it stands on the object, so that a newer request is not taken for this one.
    public var text: String

    public init(node: String?, text: String) {
        self.node = node
        self.text = text
    }

    /// As ``EvictionRequest/begunKey`` says that it was begun: annotations may have 256 KiB in all.
    public var mark: String { String(decoding: text.utf8.prefix(300), as: UTF8.self) }
}
