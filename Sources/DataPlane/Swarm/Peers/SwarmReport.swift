/// One model's swarm as this node sees it now: who holds what and who serves whom. JSON of `modelcache swarm --json`.
public struct SwarmReport: Codable, Equatable, Sendable {
    /// Another node.
    public struct Peer: Codable, Equatable, Sendable {
        public var address: String
        /// Its `MODELCACHE_ZONE`; nil: it names none.
        public var zone: String?
        /// Whether a control connection stands: only then is it known what the peer holds.
        public var connected: Bool
        public var heldBlocks: Int
        /// Requests that the peer serves or that wait there, as it said last.
        public var load: Int
        /// Blocks that this node has asked of it and not received yet.
        public var asked: Int
        /// Bytes received from it.
        public var receivedBytes: Int64
        /// Nil: nothing has come from it lately, or the agent is of another version.
        public var bytesPerSecond: Double?
        /// Blocks that it sent or described wrongly.
        public var wrongBlocks: Int64

        public init(
            address: String, zone: String?, connected: Bool, heldBlocks: Int, load: Int, asked: Int,
            receivedBytes: Int64, bytesPerSecond: Double? = nil, wrongBlocks: Int64
        ) {
            self.address = address
            self.zone = zone
            self.connected = connected
            self.heldBlocks = heldBlocks
            self.load = load
            self.asked = asked
            self.receivedBytes = receivedBytes
            self.bytesPerSecond = bytesPerSecond
            self.wrongBlocks = wrongBlocks
        }
    }

    /// A block that a reader on this node waits for, and who is to read it from the store if nobody holds it.
    public struct Awaited: Codable, Equatable, Sendable {
        public var block: Int
        /// Nil: this node.
        public var owner: String?

        public init(block: Int, owner: String?) {
            self.block = block
            self.owner = owner
        }
    }

    /// Of the model, as `modelcache status` names it.
    public var model: String
    /// This node's `MODELCACHE_ZONE`; nil: it names none.
    public var zone: String?
    public var blocks: Int
    public var blockBytes: Int64
    public var heldBlocks: Int
    /// Blocks that this node has in flight from peers and from the store.
    public var fromPeers: Int
    public var fromStore: Int
    /// Blocks read from the store by this node, by reason.
    public var storeReads: [String: Int]
    /// Blocks, in reading order, that the swarm holds without a gap.
    public var swarmBlocks: Int
    /// Peers' requests served and waiting here.
    public var load: Int
    public var awaited: [Awaited]
    public var peers: [Peer]

    public init(
        model: String, zone: String?, blocks: Int, blockBytes: Int64, heldBlocks: Int, fromPeers: Int, fromStore: Int,
        storeReads: [String: Int],
        swarmBlocks: Int, load: Int, awaited: [Awaited], peers: [Peer]
    ) {
        self.model = model
        self.zone = zone
        self.blocks = blocks
        self.blockBytes = blockBytes
        self.heldBlocks = heldBlocks
        self.fromPeers = fromPeers
        self.fromStore = fromStore
        self.storeReads = storeReads
        self.swarmBlocks = swarmBlocks
        self.load = load
        self.awaited = awaited
        self.peers = peers
    }
}
