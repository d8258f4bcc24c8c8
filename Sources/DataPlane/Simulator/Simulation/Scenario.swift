public import SwarmPlan

/// What happens to the swarm besides loading.
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
    /// From a fifth of the wire time on, every second one node dies and one joins.
    case churn
    /// A tenth of the nodes has a tenth of the bandwidth.
    case mixed
    /// Half of the nodes have half, a quarter a quarter of the bandwidth.
    case spread
    /// One node sends at a hundredth of its rate.
    case slowPeer = "slow-peer"
    /// One node stops sending at a third of the wire time, and goes on talking.
    case stalledPeer = "stalled-peer"
    /// The halves cannot reach each other between 30 % and 60 % of the wire time.
    case partition
    /// The store gives a tenth of its rate between 30 % and 50 % of the wire time.
    case throttled
    /// Racks of 20 nodes whose uplinks carry five links each, and every node says in which it is.
    case racks
    /// The same, and half of the nodes begin at half the wire time.
    case racksLate = "racks-late"
    /// As racks, and nobody says it.
    case racksUntold = "racks-untold"
    /// Every fifth node's reader begins at two thirds of the model, as a server does whose model has its embedding first.
    case readersApart = "readers-apart"
    /// Every node loads two models at once.
    case twoModels = "two-models"
}

/// All that a simulation depends on; equal parameters give equal results.
public struct SimulationParameters: Sendable {
    public var nodes = 50
    public var blocks = 480
    public var blockBytes = 512 << 10
    /// Bytes a second of every node's link, up and down each.
    public var link = 5_000_000.0
    /// Bytes a second that the store gives in all; 0: as much as one link.
    public var store = 0.0
    public var scenario = Scenario.uniform
    public var seed: UInt64 = 1
    /// One way, between nodes.
    public var latency: SwarmNanoseconds = .milliseconds(1)
    /// From a request to the store's first byte.
    public var storeLatency: SwarmNanoseconds = .milliseconds(10)
    /// Nodes begin within this span.
    public var startSpread: SwarmNanoseconds = .milliseconds(200)
    /// Pieces of a block that move on their own; a relayed block is passed on in such pieces.
    public var pieces = 4
    public var uploadSlots = UploadQueue<Int32>().slots
    /// Bytes of a request's and its answer's headers.
    public var requestBytes = 350
    /// Nodes say that they are in so many zones, though the links between them are as wide as any; 0: they say nothing.
    public var zones = 0
    /// Each node's reader demands the blocks in order as they are read, this many ahead; 0: nobody reads, but in ``Scenario/readersApart`` 8.
    public var readers = 0
    var readersAhead: Int { readers == 0 && scenario == .readersApart ? 8 : readers }
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
