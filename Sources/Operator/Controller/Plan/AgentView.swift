public import AgentAPI

/// What the plan needs of one node's agent, apart from its report on the ModelCache at hand.
public struct AgentView: Sendable, Hashable {
    /// The room of one medium on the node, in bytes.
    public struct Room: Sendable, Hashable {
        public var budget: Int64
        /// Reserved by pinned caches, or present in others.
        public var used: Int64
        /// Present in caches that nobody reads and nothing pins: the agent drops them for a newcomer.
        public var evictable: Int64

        public init(budget: Int64, used: Int64 = 0, evictable: Int64 = 0) {
            self.budget = budget
            self.used = used
            self.evictable = evictable
        }

        public var free: Int64 { max(0, budget - used + evictable) }
    }

    public enum Reach: Sendable, Hashable {
        /// Answered when last asked.
        case reachable
        /// Its pod is there and it has not answered since; `why` in words.
        case unreachable(since: WallTime, why: String)
        /// Its pod is there and it was not asked yet.
        case unknown(since: WallTime)

        var why: String? { if case .unreachable(_, let why) = self { why } else { nil } }
    }

    public var node: String
    public var reach: Reach
    /// Empty until it answered.
    public var instanceID: String
    /// When its last report arrived.
    public var reportedAt: WallTime?
    public var memory: Room
    /// Nil where the agent serves no disk.
    public var disk: Room?

    public init(
        node: String, reach: Reach = .reachable, instanceID: String = "", reportedAt: WallTime? = nil,
        memory: Room = Room(budget: 0), disk: Room? = nil
    ) {
        self.node = node
        self.reach = reach
        self.instanceID = instanceID
        self.reportedAt = reportedAt
        self.memory = memory
        self.disk = disk
    }

    /// How long an agent may stay silent before what it said last no longer counts.
    public static let silenceGrace: Duration = .seconds(30)

    public var isReachable: Bool { reach == .reachable }

    /// Whether its last report still stands.
    public func isCredible(at now: WallTime) -> Bool {
        switch reach {
        case .reachable: true
        case .unreachable(let since, _): reportedAt != nil && now - since < Self.silenceGrace
        case .unknown: false
        }
    }

    public func room(_ medium: CacheDefinition.Medium) -> Room? {
        switch medium {
        case .memory: memory
        case .disk: disk
        }
    }
}

extension AgentView.Room {
    /// - Parameter caches: the reports on the caches of this medium.
    init(_ report: AgentReport.MediumReport, caches: some Sequence<CacheReport>) {
        let evictable = caches.reduce(Int64(0)) { sum, cache in
            cache.pinned || cache.users > 0 ? sum : sum &+ max(0, cache.bytesCached)
        }
        self.init(budget: max(0, report.budgetBytes), used: max(0, report.usedBytes), evictable: evictable)
    }
}
