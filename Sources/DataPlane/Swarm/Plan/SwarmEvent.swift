/// What the planner is told. Times are handed in with the event; see ``SwarmPlanner/handle(_:at:)``.
public enum SwarmEvent: Sendable {
    /// The first event: the planner may begin. `members` as in ``members(_:)``.
    case start(SwarmMembers)
    /// Who belongs to the swarm now (DNS answer, list, file), this node included. Tell it at every change
    /// only; a member that vanished is treated as dead.
    case members(SwarmMembers)

    /// The control connection to `peer` stands, whoever opened it. The planner answers with ``SwarmAction/sendMap(to:)``.
    case connected(SwarmPeer)
    /// The control connection to `peer` ended, was refused, or could not be opened within a second.
    /// Its fetches count as failed; do not report them one by one.
    case disconnected(SwarmPeer)
    /// The peer lives but wants no control connection: it answered 503 to it, or closed it in good order after
    /// its planner said ``SwarmAction/disconnect(_:)``. It is not taken for dead; blocks may be asked of it.
    case declined(SwarmPeer)
    /// The first message of a control connection: everything that `peer` holds.
    case peerMap(SwarmPeer, SwarmMap)
    /// A later message of a control connection.
    case peerDelta(SwarmPeer, SwarmDelta)

    /// More bytes of a fetch arrived. Tell it at least every 100 ms while bytes flow; need not be told for the last piece.
    case progress(SwarmFetch, bytes: Int)
    /// The fetch's block is whole and its digest right. It counts as held from now on.
    case received(SwarmFetch)
    /// The fetch ended without its block.
    case failed(SwarmFetch, SwarmFetchFailure)

    /// A reader on this node waits for these blocks.
    case demand([Range<Int>])
    /// These blocks are held already (found at start, or arrived by another way).
    case held([Range<Int>])
    /// These blocks are not held any more (evicted, or their file's digest was wrong).
    case lost([Range<Int>])
    /// A peer asked this node for a block that it neither holds nor is receiving. Keep the request open (a
    /// second or two) and serve it when the block arrives; the planner fetches the block if it is this node's.
    case wanted(block: Int, by: SwarmPeer)
    /// Peers' requests being served and waiting here now. Tell it when it changes.
    case uploads(Int)
    /// The store asks for less (503, Retry-After, x-oss-qos-delay-time): no new reads before that time.
    case storeThrottled(until: SwarmInstant)
    /// The time asked for with ``SwarmAction/tick(at:)`` has come.
    case tick
}

/// Why a fetch ended without its block.
public enum SwarmFetchFailure: Sendable, Equatable {
    /// The peer does not hold the block (any more): 404, 416. The peer itself is well.
    case notThere
    /// Connection refused, reset, truncated or timed out; a 5xx of the store.
    case broken
    /// The bytes came whole and were wrong. The peer is shunned for ``SwarmPlannerConfiguration/corruptShun``.
    case corrupt
    /// The source answered with another generation of the object.
    case otherGeneration
    /// The fetch was not begun (no buffer was free), or another was begun in its place: its source is not to blame.
    case notBegun
}
