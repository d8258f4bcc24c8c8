public import AgentAPI

/// The facts that the plan needs about one node's agent, apart from its report on the ModelCache at hand.
public struct AgentView: Sendable, Hashable {
    public enum Reach: Sendable, Hashable {
        /// Answered when last asked.
        case reachable
        /// Its pod is there and it has not answered since; `why` in words.
        case unreachable(since: WallTime, why: String)
        /// Its pod is gone, as between the two pods of a rolling update.
        case missing(since: WallTime)
        /// Its pod is there and it was not asked yet.
        case unknown(since: WallTime)

        var why: String? {
            switch self {
            case .unreachable(_, let why): why
            case .missing: "no agent's pod is there"
            case .reachable, .unknown: nil
            }
        }

        /// Since when it has been silent, having answered before or not.
        var silentSince: WallTime? {
            switch self {
            case .unreachable(let since, _), .missing(let since): since
            case .reachable, .unknown: nil
            }
        }
    }

    public var node: String
    public var reach: Reach
    /// Empty until it answered.
    public var instanceID: String
    /// When its last report arrived.
    public var reportedAt: WallTime?
    public var memory: Capacity
    /// Nil where the agent serves no disk.
    public var disk: Capacity?
    /// Its pod is being ended and may take until then. It answers nothing meanwhile, and another pod follows.
    public var drainsUntil: WallTime?
    /// It left its last order, about whichever ModelCache, unanswered: it is given none before the wait is over. Nil:
    /// it answered, or another process has taken its place.
    public var unanswered: Memory.Refusal?

    public init(
        node: String, reach: Reach = .reachable, instanceID: String = "", reportedAt: WallTime? = nil,
        memory: Capacity = Capacity(budgetBytes: 0), disk: Capacity? = nil
    ) {
        self.node = node
        self.reach = reach
        self.instanceID = instanceID
        self.reportedAt = reportedAt
        self.memory = memory
        self.disk = disk
    }

    /// How long an agent may be silent or missing before its last report no longer counts. A rolling update pulls an
    /// image and starts the next pod within this time. The end of the pod before takes as long as that pod's own grace
    /// period.
    public static let silenceGrace: Duration = .seconds(60)

    public var isReachable: Bool { reach == .reachable }

    /// When its silence is more than that of a rolling update; nil: it answers, or was not asked yet.
    public var silenceEnds: WallTime? {
        reach.silentSince.map { max($0, drainsUntil ?? $0) + Self.silenceGrace }
    }

    /// Whether its last report still stands.
    public func isCredible(at now: WallTime) -> Bool {
        switch reach {
        case .reachable: true
        case .unreachable, .missing: reportedAt != nil && silenceEnds.map { now < $0 } ?? true
        case .unknown: false
        }
    }

    public func capacity(_ medium: CacheDefinition.Medium) -> Capacity? {
        switch medium {
        case .memory: memory
        case .disk: disk
        }
    }
}
