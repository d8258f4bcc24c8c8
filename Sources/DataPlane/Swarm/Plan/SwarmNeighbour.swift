/// A peer with a control connection, as this node sees it.
struct SwarmNeighbour: Sendable {
    let peer: SwarmPeer
    var isConnected = false
    var hasMap = false
    /// In this node's zone, or there are none.
    var isNear = true
    /// This node asked for the connection.
    var isMine = false
    /// What it told us that it holds. Not all that it holds: of blocks that this node holds too it does not tell.
    var blocks: BlockSet
    /// How many it said that it holds, all in all.
    var heldCount = 0
    var arriving: [Int32] = []
    var lastHeard: SwarmInstant
    var lastTold: SwarmInstant = 0
    var load = 0
    /// Requests sent to it since it announced its load.
    var sentSinceHeard = 0
    /// Fetches of this node that it has not answered.
    var outstanding = 0
    /// Nanoseconds that a request takes there for each request before it, itself included; 0: not known yet.
    var service: Double = 0

    init(_ peer: SwarmPeer, blockCount: Int, at now: SwarmInstant) {
        self.peer = peer
        blocks = BlockSet(capacity: blockCount)
        lastHeard = now
    }

    /// What a request sent now would find before it.
    var queue: Int { load + sentSinceHeard }
}

/// What a failing peer has earned.
struct SwarmReputation: Sendable {
    /// In a row.
    var failures = 0
    /// A block has come from it.
    var hasServed = false
    /// No requests before.
    var shunnedUntil: SwarmInstant = 0
    /// Not counted among the living before; a connection to it ends that.
    var deadUntil: SwarmInstant = 0
    /// No connection of either side before.
    var discreditedUntil: SwarmInstant = 0
    /// No new connection before.
    var connectAt: SwarmInstant = 0
}

/// A fetch in flight.
struct SwarmFetchRecord: Sendable {
    let id: SwarmFetch
    let block: Int
    /// nil: the store.
    let peer: SwarmPeer?
    let began: SwarmInstant
    var lastByte: SwarmInstant
    var bytes = 0
    let urgent: Bool
    /// The block was still arriving at the peer when it was asked.
    let fromArriving: Bool
    /// Requests before it at its peer, itself included, when it was sent.
    let queue: Int
    /// Nanoseconds the request was expected to take.
    let expected: Double
}
