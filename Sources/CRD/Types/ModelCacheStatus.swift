/// What the operator found and did. All of it can be computed again.
public struct ModelCacheStatus: Codable, Sendable, Equatable {
    /// The generation of the spec that the rest speaks of.
    public var observedGeneration: Int64?
    /// A summary for people; programs read `conditions`.
    public var phase: Phase?
    /// One per type.
    public var conditions: [Condition]
    public var source: SourceStatus?
    /// What the copies are kept on: the volume was made for it, and where the server does not hold it immutable, the operator does.
    public var medium: Cache.Medium?
    public var nodes: NodesStatus?
    /// Names of the nodes that keep a pinned full copy.
    public var seeders: [String]
    public var progress: ProgressStatus?
    public var traffic: TrafficStatus?

    public init(
        observedGeneration: Int64? = nil, phase: Phase? = nil, conditions: [Condition] = [], source: SourceStatus? = nil,
        medium: Cache.Medium? = nil, nodes: NodesStatus? = nil, seeders: [String] = [], progress: ProgressStatus? = nil, traffic: TrafficStatus? = nil
    ) {
        self.observedGeneration = observedGeneration
        self.phase = phase
        self.conditions = conditions
        self.source = source
        self.medium = medium
        self.nodes = nodes
        self.seeders = seeders
        self.progress = progress
        self.traffic = traffic
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case observedGeneration, phase, conditions, source, medium, nodes, seeders, progress, traffic
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.observedGeneration = try container.decodeIfPresent(Int64.self, forKey: .observedGeneration)
        self.phase = try container.decodeIfPresent(Phase.self, forKey: .phase)
        self.conditions = try container.decode(.conditions, or: [])
        self.source = try container.decodeIfPresent(SourceStatus.self, forKey: .source)
        self.medium = try container.decodeIfPresent(Cache.Medium.self, forKey: .medium)
        self.nodes = try container.decodeIfPresent(NodesStatus.self, forKey: .nodes)
        self.seeders = try container.decode(.seeders, or: [])
        self.progress = try container.decodeIfPresent(ProgressStatus.self, forKey: .progress)
        self.traffic = try container.decodeIfPresent(TrafficStatus.self, forKey: .traffic)
    }

    /// The condition of a type, where the operator has set it.
    public func condition(_ type: ConditionType) -> Condition? {
        conditions.first { $0.type == type.rawValue }
    }
}

/// Where a ModelCache is in its life, in one word.
public enum Phase: String, Codable, Sendable, CaseIterable {
    case pending = "Pending"
    case resolving = "Resolving"
    case warming = "Warming"
    case ready = "Ready"
    case degraded = "Degraded"
    case suspended = "Suspended"
    case failed = "Failed"
    case terminating = "Terminating"
}
