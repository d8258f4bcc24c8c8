/// The operator's observations and results. The operator can compute all of it again.
///
/// Decoding tolerates words of a newer operator: an unknown phase or medium counts as absent, a condition of an unknown
/// status as Unknown, a node of an unknown state as Pending.
public struct ModelCacheStatus: Codable, Sendable, Equatable {
    /// The generation of the spec that the other fields are about.
    public var observedGeneration: Int64?
    /// A summary for people; programs read `conditions`.
    public var phase: Phase?
    /// One per type.
    public var conditions: [Condition]
    public var source: SourceStatus?
    /// The medium of the copies, for which the volume was made. Where the server does not enforce its immutability, the
    /// operator does.
    public var medium: Cache.Medium?
    public var nodes: NodesStatus?
    /// Names of the nodes that keep a pinned full copy.
    public var seeders: [String]
    /// Names of the nodes that have bytes of the model, or had when their agent last answered, sorted, at most
    /// ``maximumCopies``: of more, those whose agent cannot be asked come first. An operator that starts during a
    /// deletion goes by it. Nil: written by an earlier release.
    public var copies: [String]?
    /// The nodes that left the cluster with a copy; nil: none.
    public var departed: DepartedNodes?
    public var progress: ProgressStatus?
    public var traffic: TrafficStatus?

    public static let maximumCopies = 100

    public init(
        observedGeneration: Int64? = nil, phase: Phase? = nil, conditions: [Condition] = [],
        source: SourceStatus? = nil,
        medium: Cache.Medium? = nil, nodes: NodesStatus? = nil, seeders: [String] = [],
        copies: [String]? = nil, departed: DepartedNodes? = nil, progress: ProgressStatus? = nil,
        traffic: TrafficStatus? = nil
    ) {
        self.observedGeneration = observedGeneration
        self.phase = phase
        self.conditions = conditions
        self.source = source
        self.medium = medium
        self.nodes = nodes
        self.seeders = seeders
        self.copies = copies
        self.departed = departed
        self.progress = progress
        self.traffic = traffic
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case observedGeneration, phase, conditions, source, medium, nodes, seeders, copies, departed,
            progress, traffic
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.observedGeneration = try container.decodeIfPresent(Int64.self, forKey: .observedGeneration)
        self.phase = try container.decodeIfPresent(String.self, forKey: .phase).flatMap(Phase.init)
        self.conditions = try container.decode(.conditions, or: [])
        self.source = try container.decodeIfPresent(SourceStatus.self, forKey: .source)
        self.medium = try container.decodeIfPresent(String.self, forKey: .medium).flatMap(Cache.Medium.init)
        self.nodes = try container.decodeIfPresent(NodesStatus.self, forKey: .nodes)
        self.seeders = try container.decode(.seeders, or: [])
        self.copies = try container.decodeIfPresent([String].self, forKey: .copies)
        self.departed = try container.decodeIfPresent(DepartedNodes.self, forKey: .departed)
        self.progress = try container.decodeIfPresent(ProgressStatus.self, forKey: .progress)
        self.traffic = try container.decodeIfPresent(TrafficStatus.self, forKey: .traffic)
    }

    /// The condition of a type; nil where the operator has not set it.
    public func condition(_ type: ConditionType) -> Condition? {
        conditions.first { $0.type == type.rawValue }
    }
}

/// The phase of a ModelCache, in one word.
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
