/// What nodes say to their neighbours about the model as a whole, in every message: how far the store has been read.
///
/// Positions are places in ``SwarmPlannerConfiguration/order``.
public struct SwarmGossip: Sendable, Equatable {
    /// Every position before this one is held by someone.
    public var watermark: Int
    /// Positions from the watermark on that are held by someone, bit 0 of the first word is the watermark's.
    /// At most four words; trailing zero words are left out.
    public var beyond: [UInt64]
    /// In the same form: positions that someone holds or is reading from the store right now.
    public var claimed: [UInt64]
    /// How long ago somebody who holds every block was heard, by the sender or by whoever told it, in tenths of a second; nil: not
    /// lately. Passed on, it grows with every hop and second, so that it dies with the last full holder.
    public var fullAge: Int?

    /// Words of a mask at most, so 256 positions.
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

/// What changed since the last message on a control connection, of blocks that the listener does not hold itself. Empty lists: a heartbeat.
public struct SwarmDelta: Sendable, Equatable {
    /// Held from now on.
    public var held: [Int]
    /// Arriving now, can be relayed.
    public var arriving: [Int]
    /// Neither held nor arriving any more.
    public var lost: [Int]
    public var load: Int
    /// The sender holds every block now. Blocks that a neighbour holds already are not announced to it.
    public var isFull = false
    /// How many blocks the sender holds, now and then, for people.
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
