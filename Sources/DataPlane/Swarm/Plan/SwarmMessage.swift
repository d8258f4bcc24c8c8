/// How far the swarm has read the model from the store. Nodes tell their neighbours in every message.
///
/// Positions are places in ``SwarmPlannerConfiguration/order``.
public struct SwarmGossip: Sendable, Equatable {
    /// Some node holds each position before this one.
    public var watermark: Int
    /// Positions from the watermark on that some node holds; bit 0 of the first word is the watermark's. At most four
    /// words; trailing zero words are left out.
    public var beyond: [UInt64]
    /// In the same form: positions that some node holds or is reading from the store right now.
    public var claimed: [UInt64]
    /// Tenths of a second since a node that holds every block was heard, by the sender or by a node that told it; nil:
    /// not lately. The age grows with every hop and second, so that the news dies with the last full holder.
    public var fullAge: Int?

    /// Words of a mask at most, so at most 256 positions.
    public static let words = 4

    public init(watermark: Int = 0, beyond: [UInt64] = [], claimed: [UInt64] = [], fullAge: Int? = nil) {
        self.watermark = watermark
        self.beyond = beyond
        self.claimed = claimed
        self.fullAge = fullAge
    }
}

/// Everything a node holds: the first message of a control connection.
public struct SwarmMap: Sendable, Equatable {
    public var blocks: BlockSet
    /// Blocks that are arriving and can be relayed.
    public var arriving: [Int]
    /// Requests of peers being served and waiting.
    public var load: Int
    public var gossip: SwarmGossip

    public init(blocks: BlockSet, arriving: [Int] = [], load: Int = 0, gossip: SwarmGossip = SwarmGossip()) {
        self.blocks = blocks
        self.arriving = arriving
        self.load = load
        self.gossip = gossip
    }
}

/// Changes since the last message on a control connection, for blocks that the receiver does not hold itself. Empty
/// lists: a heartbeat.
public struct SwarmDelta: Sendable, Equatable {
    /// Held from now on.
    public var held: [Int]
    /// Arriving now, can be relayed.
    public var arriving: [Int]
    /// Neither held nor arriving any more.
    public var lost: [Int]
    public var load: Int
    /// The sender is slow: the receiver is to read these blocks from the store in the sender's stead.
    public var handed: [Int] = []
    /// The sender holds every block now. It does not announce blocks that the neighbour holds already.
    public var isFull = false
    /// The number of blocks that the sender holds, sent now and then, for people.
    public var heldCount: Int?
    public var gossip: SwarmGossip

    public init(
        held: [Int] = [], arriving: [Int] = [], lost: [Int] = [], load: Int = 0, gossip: SwarmGossip = SwarmGossip()
    ) {
        self.held = held
        self.arriving = arriving
        self.lost = lost
        self.load = load
        self.gossip = gossip
    }
}
