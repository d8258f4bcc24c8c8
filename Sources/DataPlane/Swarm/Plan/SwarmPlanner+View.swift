/// A planner's state, for people.
public struct SwarmPlannerView: Sendable {
    public struct Neighbour: Sendable {
        public let peer: SwarmPeer
        /// Blocks that it holds.
        public let held: Int
        public let load: Int
        /// Fetches of this node that it has not responded to.
        public let outstanding: Int
    }

    /// Members with a control connection.
    public let neighbours: [Neighbour]
    public let fromPeers: Int
    public let fromStore: Int
    /// Blocks read from the store so far.
    public let storeReads: [SwarmStoreReason: Int]
    /// Some node holds each position before this one.
    public let watermark: Int
    public let uploads: Int
    /// The first blocks that readers wait for, each with the node that is to read it from the store.
    public let awaited: [(block: Int, owner: SwarmPeer?)]
}

extension SwarmPlanner {
    public var view: SwarmPlannerView {
        SwarmPlannerView(
            neighbours: neighbours.list.filter(\.isConnected).map {
                SwarmPlannerView.Neighbour(
                    peer: $0.peer, held: max($0.blocks.count, $0.heldCount), load: $0.load, outstanding: $0.outstanding)
            },
            fromPeers: fetches.fromPeers, fromStore: fetches.fromStore, storeReads: turns.reads,
            watermark: reading.watermark, uploads: news.uploads,
            awaited: demands.queue.prefix(16).map { demand in
                (demand.block, members.owner(of: demand.block, skipping: { isGone($0, at: lastUpkeep) }))
            })
    }
}
