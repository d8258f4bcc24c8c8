/// One agent and all its caches: the answer to `GET /v1/caches`.
public struct AgentReport: Codable, Equatable, Sendable {
    /// The room of one medium.
    public struct MediumReport: Codable, Equatable, Sendable {
        /// What this agent may promise in all.
        public var budgetBytes: Int64
        /// Promised or present: reservations of pinned caches, and present bytes of everything else.
        public var usedBytes: Int64

        public init(budgetBytes: Int64, usedBytes: Int64) {
            self.budgetBytes = budgetBytes
            self.usedBytes = usedBytes
        }
    }

    /// The Kubernetes node's name, as the agent was told.
    public var node: String
    /// The agent's version.
    public var version: String
    /// `/proc/sys/kernel/random/boot_id`: changes when the node was restarted.
    public var bootID: String
    /// Random per agent process: changes when the agent was restarted, and counters began anew.
    public var instanceID: String
    /// The agent's clock, in seconds since 1970.
    public var time: Int64
    public var memory: MediumReport
    /// Nil where the agent has no disk root.
    public var disk: MediumReport?
    /// Sorted by uid.
    public var caches: [CacheReport]

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
}
