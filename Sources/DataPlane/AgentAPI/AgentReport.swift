/// One agent and all its caches: the response to `GET /v1/caches`.
public struct AgentReport: Codable, Equatable, Sendable {
    /// The capacity of one medium.
    public struct MediumReport: Codable, Equatable, Sendable {
        /// Bytes that this agent may use in all.
        public var budgetBytes: Int64
        /// Bytes reserved or present: reservations of pinned caches, and present bytes of all others.
        public var usedBytes: Int64
        /// Of ``usedBytes`` what no eviction frees; nil: an agent of an earlier release.
        public var heldBytes: Int64?

        public init(budgetBytes: Int64, usedBytes: Int64, heldBytes: Int64? = nil) {
            self.budgetBytes = budgetBytes
            self.usedBytes = usedBytes
            self.heldBytes = heldBytes
        }

        /// Both numbers must be there.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            _ = try container.decode(Int64.self, forKey: .budgetBytes)
            _ = try container.decode(Int64.self, forKey: .usedBytes)
            budgetBytes = container.toleratedBytes(.budgetBytes) ?? 0
            usedBytes = container.toleratedBytes(.usedBytes) ?? 0
            heldBytes = container.toleratedBytes(.heldBytes)
        }
    }

    /// The Kubernetes node's name, from the agent's settings.
    public var node: String
    /// The agent's version.
    public var version: String
    /// The messages that the agent understands.
    public var api = APIVersions.own
    /// `/proc/sys/kernel/random/boot_id`: changes when the node restarts.
    public var bootID: String
    /// Random per agent process: changes when the agent restarts, and with it the counters.
    public var instanceID: String
    /// The agent's clock, in seconds since 1970.
    public var time: Int64
    public var memory: MediumReport
    /// Nil where the agent has no disk root.
    public var disk: MediumReport?
    /// Sorted by uid.
    public var caches: [CacheReport]
    /// uids of directories on the node that this agent does not serve: remains of an earlier agent, damaged or of
    /// another release.
    public var remains: [String] = []

    public init(
        node: String, version: String, bootID: String, instanceID: String, time: Int64, memory: MediumReport,
        disk: MediumReport? = nil, caches: [CacheReport]
    ) {
        self.node = node
        self.version = version
        self.bootID = bootID
        self.instanceID = instanceID
        self.time = time
        self.memory = memory
        self.disk = disk
        self.caches = caches
    }

    /// Reads the report of an earlier or later release: without node, instance and memory it would be none, and a cache
    /// without a uid is left out.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        node = try container.decode(String.self, forKey: .node)
        instanceID = try container.decode(String.self, forKey: .instanceID)
        memory = try container.decode(MediumReport.self, forKey: .memory)
        version = container.tolerated(.version) ?? ""
        api = container.tolerated(.api) ?? .first
        bootID = container.tolerated(.bootID) ?? ""
        time = container.tolerated(.time) ?? 0
        disk = container.tolerated(.disk)
        caches = try container.decode([Tolerated<CacheReport>].self, forKey: .caches).compactMap(\.value)
        remains = container.tolerated(.remains) ?? []
    }
}
