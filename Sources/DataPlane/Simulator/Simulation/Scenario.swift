public import SwarmPlan

/// Events in the swarm besides loading.
public enum Scenario: String, Sendable, CaseIterable {
    /// All nodes begin together, all alike.
    case uniform
    /// One node holds everything; the others begin together.
    case seeder
    /// Half of the nodes begin together, the others at half the wire time.
    case late
    /// Half begin together, then one more joins every second.
    case joiners
    /// A third of the nodes dies at half the wire time.
    case killThird = "kill-third"
    /// From a fifth of the wire time on, one node dies and one joins every second second.
    case churn
    /// A tenth of the nodes has a tenth of the bandwidth.
    case mixed
    /// Half of the nodes have half, a quarter a quarter of the bandwidth.
    case spread
    /// One node sends at a hundredth of its rate.
    case slowPeer = "slow-peer"
    /// One node stops sending blocks at a third of the wire time, but still sends control messages.
    case stalledPeer = "stalled-peer"
    /// The halves cannot reach each other between 30 % and 60 % of the wire time.
    case partition
    /// The store gives a tenth of its rate between 30 % and 50 % of the wire time.
    case throttled
    /// Racks of 20 nodes whose uplinks carry five links each. Every node announces its rack.
    case racks
    /// The same, and half of the nodes begin at half the wire time.
    case racksLate = "racks-late"
    /// As racks, but no node announces its rack.
    case racksUntold = "racks-untold"
    /// The readers of every fifth node begin at two thirds of the model, like a server whose model has its embedding
    /// first.
    case readersApart = "readers-apart"
    /// Every node loads two models at once.
    case twoModels = "two-models"
}

/// All parameters of a simulation; equal parameters give equal results.
public struct SimulationParameters: Sendable {
    public var nodes = 50
    public var blocks = 480
    public var blockBytes = 512 << 10
    /// Bytes a second of every node's link, up and down each.
    public var link = 5_000_000.0
    /// Bytes a second that the store gives in all; 0: as much as one link.
    public var store = 0.0
    public var scenario = Scenario.uniform
    public var strategy = SimulationStrategy.swarm
    public var seed: UInt64 = 1
    /// One way, between nodes.
    public var latency: SwarmNanoseconds = .milliseconds(1)
    /// From a request to the store's first byte.
    public var storeLatency: SwarmNanoseconds = .milliseconds(10)
    /// All nodes begin within this span.
    public var startSpread: SwarmNanoseconds = .milliseconds(200)
    /// Segments of a block, each of which moves on its own; a relay passes on such segments.
    public var segments = 4
    public var uploadSlots = UploadQueue<Int32>().slots
    /// Bytes of a request's and its response's headers.
    public var requestBytes = 350
    /// Nodes announce so many zones, though the links between them are as wide as any; 0: they announce none.
    public var zones = 0
    /// Each reader demands the blocks in order, this many ahead of itself; 0: no node reads, except 8 ahead in
    /// ``Scenario/readersApart``.
    public var readers = 0
    var readersAhead: Int { readers == 0 && scenario == .readersApart ? 8 : readers }
    /// A planner checks its own state after each so many events: seldom, since a check looks at every block.
    public var eventsBetweenChecks = 997
    /// At this time, in seconds, every planner's summary is kept in the report; 0: never.
    public var dumpAt = 0.0
    /// Changes to the planner's settings.
    public var adjust: @Sendable (inout SwarmPlannerConfiguration) -> Void = { _ in }

    public init() {}

    public var modelBytes: Double { Double(blocks) * Double(blockBytes) }
    /// Seconds of one plain download over one link.
    public var wireTime: Double { modelBytes / link }
    public var storeRate: Double { store > 0 ? store : link }
}
