/// Capacity and copies of each node, as its agent told last. The operator serves it at ``path`` and
/// `kubectl modelcache nodes -o json` prints it.
public struct NodesReport: Codable, Sendable, Equatable {
    /// On the operator's metrics port, for callers of ``ReportAccess``. A replica that does not lead answers 421
    /// (RFC 9110, 15.5.20).
    public static let path = "/nodes"

    /// The bytes of one medium.
    public struct Medium: Codable, Sendable, Equatable {
        /// The agent may use so many in all.
        public var budgetBytes: Int64
        /// Present bytes of all copies.
        public var usedBytes: Int64
        /// A new ModelCache may take so many: the budget without pinned copies and copies with readers. Other copies
        /// are evicted for it.
        public var freeBytes: Int64

        public init(budgetBytes: Int64, usedBytes: Int64, freeBytes: Int64) {
            self.budgetBytes = budgetBytes
            self.usedBytes = usedBytes
            self.freeBytes = freeBytes
        }
    }

    /// One model's copy on a node.
    public struct Copy: Codable, Sendable, Equatable {
        public var namespace: String
        public var name: String
        /// `Memory` or `Disk`.
        public var medium: String
        /// `Prepared`, `Filling`, `Ready`, `Failed`, or a word of another release's agent.
        public var state: String
        public var bytesCached: Int64
        public var bytesTotal: Int64
        /// No eviction takes it.
        public var isPinned: Bool
        /// Programs that have the model open; no eviction takes the copy while there are any.
        public var readers: Int
        /// The places that gave it bytes since the agent has it: the store, and the nodes that gave the most. Nil: an
        /// operator of an earlier release.
        public var sources: [Source]?
        /// Its place in the order in which copies of this medium are evicted when capacity is needed, from 1. Nil:
        /// nothing evicts it, or it has no bytes, or the agent does not tell.
        public var evictionPlace: Int?

        public init(
            namespace: String, name: String, medium: String, state: String, bytesCached: Int64, bytesTotal: Int64,
            isPinned: Bool, readers: Int, sources: [Source]? = nil, evictionPlace: Int? = nil
        ) {
            self.namespace = namespace
            self.name = name
            self.medium = medium
            self.state = state
            self.bytesCached = bytesCached
            self.bytesTotal = bytesTotal
            self.isPinned = isPinned
            self.readers = readers
            self.sources = sources
            self.evictionPlace = evictionPlace
        }
    }

    /// One place that gave bytes to a copy.
    public struct Source: Codable, Sendable, Equatable {
        /// The node that gave them; nil: the store. An address where no agent that the operator knows has it.
        public var node: String?
        public var bytes: Int64
        /// 0 when nothing has come lately.
        public var bytesPerSecond: Int64

        public init(node: String? = nil, bytes: Int64, bytesPerSecond: Int64 = 0) {
            self.node = node
            self.bytes = bytes
            self.bytesPerSecond = bytesPerSecond
        }
    }

    public struct Node: Codable, Sendable, Equatable {
        public var name: String
        /// `Reachable`, `Unreachable`, `Missing` (no agent's pod is there) or `Unknown` (not asked yet).
        public var agent: String
        /// Why it is unreachable.
        public var message: String?
        /// Nil: the agent has not answered yet.
        public var memory: Medium?
        /// Nil: the agent has no disk.
        public var disk: Medium?
        /// By namespace and name.
        public var models: [Copy]

        public init(
            name: String, agent: String, message: String? = nil, memory: Medium? = nil, disk: Medium? = nil,
            models: [Copy] = []
        ) {
            self.name = name
            self.agent = agent
            self.message = message
            self.memory = memory
            self.disk = disk
            self.models = models
        }
    }

    /// By name.
    public var nodes: [Node]

    public init(nodes: [Node]) {
        self.nodes = nodes
    }
}
