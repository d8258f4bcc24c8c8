/// What a planner knows, for people.
public struct SwarmPlannerView: Sendable {
    public struct Neighbour: Sendable {
        public let peer: SwarmPeer
        /// Blocks that it holds.
        public let held: Int
        public let load: Int
        /// Fetches of this node that it has not answered.
        public let outstanding: Int
    }

    /// Members with a control connection.
    public let neighbours: [Neighbour]
    public let fromPeers: Int
    public let fromStore: Int
    /// Blocks read from the store so far.
    public let storeReads: [SwarmStoreReason: Int]
    /// Positions before this one are held by somebody.
    public let watermark: Int
    public let uploads: Int
    /// The first blocks that readers wait for, with who is to read them from the store.
    public let awaited: [(block: Int, owner: SwarmPeer?)]
}

extension SwarmPlanner {
    public var view: SwarmPlannerView {
        let isGone: (SwarmPeer) -> Bool = { isDead($0, at: lastUpkeep) || isShunned($0, at: lastUpkeep) }
        return SwarmPlannerView(
            neighbours: neighbours.filter(\.isConnected).map {
                SwarmPlannerView.Neighbour(peer: $0.peer, held: max($0.blocks.count, $0.heldCount), load: $0.load, outstanding: $0.outstanding)
            },
            fromPeers: peerFetchCount, fromStore: storeFetchCount, storeReads: storeReadCounts, watermark: watermark, uploads: uploads,
            awaited: demandQueue.filter { !have.contains($0.block) }.prefix(16).map { ($0.block, members.owner(of: $0.block, skipping: isGone)) })
    }
}
