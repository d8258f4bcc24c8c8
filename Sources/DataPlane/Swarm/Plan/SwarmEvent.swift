/// The events that the caller reports to the planner, each with its time; see ``SwarmPlanner/handle(_:at:)``.
public enum SwarmEvent: Sendable {
    /// The first event: the planner may begin. `members` as in ``members(_:)``.
    case start(SwarmMembers)
    /// The members of the swarm now (DNS response, list, file), this node included. Report it at every change only. The
    /// planner treats a member that vanished as dead.
    case members(SwarmMembers)

    /// The control connection to `peer` is open, from either side. The planner responds with
    /// ``SwarmAction/sendMap(to:)``.
    case connected(SwarmPeer)
    /// The peer of an open control connection is an older agent: it is never sent ``SwarmDelta/handed``.
    case takesNoTurns(SwarmPeer)
    /// The control connection to `peer` ended, was refused, or could not be opened within a second.
    /// Its fetches count as failed; do not report them one by one.
    case disconnected(SwarmPeer)
    /// The peer lives but wants no control connection: it responded with 503, or closed the connection in good order
    /// after its planner's ``SwarmAction/disconnect(_:)``. It does not count as dead, and may be asked for blocks.
    case declined(SwarmPeer)
    /// The first message of a control connection: everything that `peer` holds.
    case peerMap(SwarmPeer, SwarmMap)
    /// A later message of a control connection.
    case peerDelta(SwarmPeer, SwarmDelta)

    /// More bytes of a fetch arrived. Report it at least every 100 ms while bytes flow; the last bytes need no report.
    case progress(SwarmFetch, bytes: Int)
    /// The fetch's block is complete and its digest is equal. This node holds it from now on.
    case received(SwarmFetch)
    /// The fetch ended without its block.
    case failed(SwarmFetch, SwarmFetchFailure)

    /// A reader on this node waits for these blocks.
    case demand([Range<Int>])
    /// This node holds these blocks already (found at start, or arrived by another way).
    case held([Range<Int>])
    /// This node does not hold these blocks any more (evicted, or their file's digest differed).
    case lost([Range<Int>])
    /// This node wants these blocks from nobody: their file failed, or another cache of this node has them. It asks
    /// nobody for them, and does not wait for them.
    case abandoned([Range<Int>])
    /// This node wants these blocks after all, which it had abandoned.
    case resumed([Range<Int>])
    /// A peer asked this node for a block that it neither holds nor is receiving. Keep the request open (a second or
    /// two) and serve it when the block arrives. The planner fetches the block if this node owns it.
    case wanted(block: Int, by: SwarmPeer)
    /// Peers' requests that are served or waiting here now. Report every change.
    case uploads(Int)
    /// A request of a peer began to be served, paused, or ended. Tells the planner how fast this node's uplink is.
    case upload(SwarmUpload, to: SwarmPeer, block: Int)
    /// The store asks for less (503, Retry-After, x-oss-qos-delay-time): no new reads before that time.
    case storeThrottled(until: SwarmInstant)
    /// The time asked for with ``SwarmAction/tick(at:)`` has come.
    case tick
}

/// A change of one request that a node serves.
public enum SwarmUpload: Sendable, Equatable {
    /// The node sends its bytes from now on.
    case sending
    /// The node does not send its bytes any more: it waits for bytes that are arriving, or the request broke off.
    case resting
    /// The node has sent all bytes of the block.
    case sent
}

/// Why a fetch ended without its block.
public enum SwarmFetchFailure: Sendable, Equatable {
    /// The peer does not hold the block (any more): 404, 416. The peer itself is not at fault.
    case notThere
    /// Connection refused, reset, truncated or timed out; a 5xx of the store.
    case broken
    /// The bytes arrived complete and were wrong. The peer is banned for ``SwarmPlannerConfiguration/corruptBan``.
    case corrupt
    /// The source responded with another generation of the object.
    case otherGeneration
    /// The fetch was not begun (no buffer was free), or another one replaced it: no penalty for its source.
    case notBegun
}
