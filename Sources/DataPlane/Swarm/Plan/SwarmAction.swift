/// What the planner wants done. Carry actions out in order.
public enum SwarmAction: Sendable, Equatable {
    /// Open a control connection to a member that has none. Report ``SwarmEvent/connected(_:)`` or
    /// ``SwarmEvent/disconnected(_:)``.
    case connect(SwarmPeer)
    /// Close the control connection in good order, so that the other end reports ``SwarmEvent/declined(_:)``; no
    /// event is expected here.
    case disconnect(SwarmPeer)
    /// Send ``SwarmPlanner/map`` on a control connection that has just been opened.
    case sendMap(to: SwarmPeer)
    /// Send one small message to several neighbours.
    case announce(SwarmDelta, to: [SwarmPeer])

    /// Read a block from the store. One such action is one block read from the store.
    case fetchFromStore(SwarmFetch, block: Int, reason: SwarmStoreReason)
    /// Ask a peer for a block. `urgent`: a reader waits; say so in the request, it is served first.
    /// The peer need not have a control connection with this node.
    case fetchFromPeer(SwarmFetch, SwarmPeer, block: Int, urgent: Bool)
    /// Stop a fetch. No event is expected for it; one that crosses with this action is ignored, but for
    /// a block that came whole all the same: that may be told as ``SwarmEvent/held(_:)``.
    case cancel(SwarmFetch)
    /// For the log and the metrics: `peer` gets no requests before `until`.
    case shun(SwarmPeer, until: SwarmInstant, SwarmFetchFailure)
    /// Send ``SwarmEvent/tick`` at this time. Replaces the time asked for before.
    case tick(at: SwarmInstant)
    /// Every block is held. Said once each time this becomes true.
    case complete
}

/// Why a block is read from the store; also a metric's label.
public enum SwarmStoreReason: String, Sendable, CaseIterable {
    /// This node is the block's owner.
    case owner
    /// The owner is dead, and this node is next in line.
    case ownerDead
    /// The owner lives but did not bring the block in time, and this node is next in line. Out of the budget.
    case ownerLate
    /// A reader here waited past the deadline although others hold the block. Out of the budget.
    case demandLate
    /// Nothing else worked for a long time. One block at a time; keeps a load from hanging for ever.
    case lastResort
}
