/// The planner's settings. The defaults are those the simulations in docs/swarm.md were made with.
public struct SwarmPlannerConfiguration: Sendable {
    /// This node, as numbered by the caller, and a member of every ``SwarmMembers`` handed in.
    public var me: SwarmPeer
    /// Blocks of the model, over all its files in manifest order.
    public var blockCount: Int
    /// Bytes of a block (the last one of a file may be shorter); see ``SwarmBlockSize``.
    public var blockBytes: Int
    /// The order in which the model is read from the store, the same on every node: a permutation of the
    /// blocks, heads and tails of the files first. Empty: ascending.
    public var order: [Int32] = []
    /// Whether blocks that no reader asked for are fetched too.
    public var prefetches = true
    /// Starts the planner's own random sequence; a different one for every node.
    public var seed: UInt64

    /// Neighbours to have: control connections this node opens are half of it, the others come from peers.
    /// With up to ``fullMesh`` other members all of them are neighbours.
    public var neighbours = 14
    public var fullMesh = 12
    /// Fetches from peers in flight at once: more than a peer serves at once (``UploadQueue``), so that none stands idle.
    public var peerFetches = 10
    /// Of them, to one peer; more where there are few.
    public var fetchesPerPeer = 2
    /// Neighbours compared before a request is sent to the least busy of them.
    public var choices = 8
    /// Requests before ours at which a neighbour is left to others; four times as many for a waiting reader.
    public var longestQueue = 8
    /// Reads from the store that this node has in flight at most.
    public var storeFetches = 16
    /// Blocks being read from the store at once by the whole swarm; 0: by the network's speed. Few, so that each
    /// comes quickly and is passed on; the cost of it at the start is this many block times.
    public var originWindow = 0
    /// Blocks past a demanded one that are fetched before other prefetch.
    public var readAhead = 8
    /// Announce blocks while they still arrive, so that peers relay them.
    public var relays = true
    /// Also those that arrive from peers, not only those from the store.
    public var relaysPeers = true

    /// For how long a block whose relay broke off is not taken from others that relay it. Their relays may come from the same
    /// source, and have not heard of its end: without this, nodes pass the beginning of a block around in rings, each believing that
    /// another will have the rest. Longer than that news takes.
    public var relayBar: SwarmNanoseconds = .milliseconds(600)

    /// Changes within this span go out as one message; on a fast network within a shorter one.
    public var announceInterval: SwarmNanoseconds = .milliseconds(200)
    /// Whether neighbours that hold a block already are spared the news that this node holds it too.
    public var suppressesKnown = true
    /// A load that has fallen to this is announced within ``loadInterval``.
    public var idleLoad = 1
    /// Any other change of the load within five times this. Sooner than blocks: where few hold what all want, requests go by it.
    public var loadInterval: SwarmNanoseconds = .milliseconds(100)
    /// A neighbour that has nothing to say says so this often.
    public var heartbeat: SwarmNanoseconds = .milliseconds(300)
    /// A neighbour silent for this long gets no new requests, and what it owes is asked of others.
    public var silence: SwarmNanoseconds = .milliseconds(900)
    /// At start, how long to wait for the first neighbours' maps before reading from the store.
    public var originGrace: SwarmNanoseconds = .milliseconds(300)
    /// The same while more than a quarter of them have said nothing.
    public var longestGrace: SwarmNanoseconds = .milliseconds(2000)
    /// A fetch without any byte for this long, and ``patienceFactor`` times what fetches take, is given up; one
    /// that has not had its first byte, because it may wait in the peer's queue, after twice that.
    public var stall: SwarmNanoseconds = .milliseconds(1000)
    public var patienceFactor = 4.0
    /// For this long after the start, a member that refuses connections is taken for one that is not up yet.
    public var beginners: SwarmNanoseconds = .seconds(3)
    /// How long the next in line waits for a living owner.
    public var ownerPatience: SwarmNanoseconds = .seconds(3)
    /// How long at least, and for 40 block times, a reader leaves a block that few hold to prefetch before it asks for it out of turn.
    public var demandPatience: SwarmNanoseconds = .milliseconds(500)
    /// How long a reader waits for peers before the store is asked, if the budget allows it.
    public var demandDeadline: SwarmNanoseconds = .seconds(5)
    /// How long not even an eighth of a block may arrive before the store is asked whatever the budget says.
    public var lastResort: SwarmNanoseconds = .seconds(15)
    /// The first time a failing peer is left alone; doubles up to ``longestShun``.
    public var firstShun: SwarmNanoseconds = .milliseconds(1000)
    public var longestShun: SwarmNanoseconds = .seconds(30)
    /// How long a peer that sent wrong bytes is left alone.
    public var corruptShun: SwarmNanoseconds = .seconds(600)
    /// Share of the model that the swarm's nodes together may read from the store as not its owners.
    public var originBudget = 0.02
    /// Share of the model that this node may fetch twice to overtake slow peers.
    public var hedgeBudget = 0.02

    public init(me: SwarmPeer, blockCount: Int, blockBytes: Int, seed: UInt64) {
        self.me = me
        self.blockCount = blockCount
        self.blockBytes = blockBytes
        self.seed = seed
    }
}
