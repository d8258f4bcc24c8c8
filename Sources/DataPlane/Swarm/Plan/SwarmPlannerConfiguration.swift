/// The planner's settings. The simulations in docs/swarm.md use the defaults.
public struct SwarmPlannerConfiguration: Sendable {
    /// This node, as the caller numbers it; a member of every ``SwarmMembers``.
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

    /// Neighbours to have: this node opens half of the control connections, peers open the others. With up to
    /// ``fullMesh`` other members, all of them are neighbours.
    public var neighbours = 14
    public var fullMesh = 12
    /// Fetches from peers in flight at once: more than a peer serves at once (``UploadQueue``), so that no slot is
    /// idle.
    public var peerFetches = 10
    /// Fetches from one peer at once; more where there are few peers.
    public var fetchesPerPeer = 2
    /// Neighbours compared before a request is sent to the least busy of them.
    public var choices = 8
    /// A neighbour with so many requests before ours gets none; four times as many for a waiting reader.
    public var longestQueue = 8
    /// Reads from the store that this node has in flight at most.
    public var storeFetches = 16
    /// Blocks that the swarm reads from the store at once; 0: by the network's speed. Few, so that each arrives quickly
    /// and is passed on. The start costs this many block times.
    public var originWindow = 0
    /// Blocks past a demanded one that are fetched before other prefetch.
    public var readAhead = 8
    /// Announce blocks while they still arrive, so that peers relay them.
    public var relays = true
    /// Also announce those that arrive from peers, not only those from the store.
    public var relaysPeers = true

    /// How long a block whose relay broke off is not taken from other relays. Their own relays may have the same
    /// source, and the news of its end is still on its way. Without this, nodes pass the first bytes of a block around
    /// in rings, each waiting for another one's rest. Longer than that news takes.
    public var relayBar: SwarmNanoseconds = .milliseconds(600)

    /// Changes within this span go out as one message; a fast network uses a shorter one.
    public var announceInterval: SwarmNanoseconds = .milliseconds(200)
    /// Whether neighbours that hold a block already are not told that this node holds it too.
    public var suppressesKnown = true
    /// A load that has fallen to this is announced within ``loadInterval``.
    public var idleLoad = 1
    /// Any other change of the load is announced within five times this. Sooner than blocks: where few nodes hold what
    /// all need, the load decides where requests go.
    public var loadInterval: SwarmNanoseconds = .milliseconds(100)
    /// A neighbour without news sends a message this often.
    public var heartbeat: SwarmNanoseconds = .milliseconds(300)
    /// A neighbour silent for this long gets no new requests, and its blocks are asked of others.
    public var silence: SwarmNanoseconds = .milliseconds(900)
    /// At start, how long to wait for the first neighbours' maps before reading from the store.
    public var originGrace: SwarmNanoseconds = .milliseconds(300)
    /// The same while more than a quarter of the neighbours have sent no map.
    public var longestGrace: SwarmNanoseconds = .milliseconds(2000)
    /// A fetch without any byte for this long, and ``patienceFactor`` times the mean fetch, is given up. A fetch
    /// without its first byte, which may wait in the peer's queue, gets twice that.
    public var stall: SwarmNanoseconds = .milliseconds(1000)
    public var patienceFactor = 4.0
    /// For this long after the start, a member that refuses connections counts as not started yet.
    public var beginners: SwarmNanoseconds = .seconds(3)
    /// How long the next node in line waits for a living owner.
    public var ownerPatience: SwarmNanoseconds = .seconds(3)
    /// How long at least, and for 40 block times, a reader waits for prefetch to bring a block that few hold.
    public var demandPatience: SwarmNanoseconds = .milliseconds(500)
    /// How long a reader waits for peers before the store is asked, if the budget allows it.
    public var demandDeadline: SwarmNanoseconds = .seconds(5)
    /// If less than an eighth of a block arrives in this time, the store is asked whatever the budget says.
    public var lastResort: SwarmNanoseconds = .seconds(15)
    /// The first ban of a failing peer; each further one is twice as long, up to ``longestBan``.
    public var firstBan: SwarmNanoseconds = .milliseconds(1000)
    public var longestBan: SwarmNanoseconds = .seconds(30)
    /// The ban of a peer that sent wrong bytes.
    public var corruptBan: SwarmNanoseconds = .seconds(600)
    /// Share of the model that the swarm's nodes together may read from the store without being the owners.
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
