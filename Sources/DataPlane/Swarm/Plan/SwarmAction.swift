/// The work that the planner asks its caller to do. Carry actions out in order.
public enum SwarmAction: Sendable, Equatable {
    /// Open a control connection to a member that has none. Report ``SwarmEvent/connected(_:)`` or
    /// ``SwarmEvent/disconnected(_:)``.
    case connect(SwarmPeer)
    /// Close the control connection in good order, so that the other end reports ``SwarmEvent/declined(_:)``. The
    /// planner expects no event for it.
    case disconnect(SwarmPeer)
    /// Send ``SwarmPlanner/map`` on a control connection that has just been opened.
    case sendMap(to: SwarmPeer)
    /// Send one small message to several neighbours.
    case announce(SwarmDelta, to: [SwarmPeer])

    /// Read a block from the store. One such action is one block read from the store.
    case fetchFromStore(SwarmFetch, block: Int, reason: SwarmStoreReason)
    /// Ask a peer for a block. `urgent`: a reader waits; the request says so, and the peer serves it first. The peer
    /// need not have a control connection with this node.
    case fetchFromPeer(SwarmFetch, SwarmPeer, block: Int, urgent: Bool)
    /// Stop a fetch. The planner expects no event for it and ignores one that crosses with this action. A block that
    /// arrived complete all the same may be reported as ``SwarmEvent/held(_:)``.
    case cancel(SwarmFetch)
    /// For the log and the metrics: `peer` gets no requests before `until`.
    case ban(SwarmPeer, until: SwarmInstant, SwarmFetchFailure)
    /// Send ``SwarmEvent/tick`` at this time. Replaces the time asked for before.
    case tick(at: SwarmInstant)
    /// This node holds every block. The planner says so once each time this becomes true.
    case complete
}

/// Why a block is read from the store; also a metric's label.
public enum SwarmStoreReason: String, Sendable, CaseIterable {
    /// This node is the block's owner.
    case owner
    /// The owner is dead, and this node is next in line.
    case ownerDead
    /// The node that was to read the block is slow, and handed its turn over to this one.
    case handedOver
    /// The owner lives but did not read the block in time, and this node is next in line. Counts against the budget.
    case ownerLate
    /// A reader here waited past the deadline although others hold the block. Counts against the budget.
    case demandLate
    /// Nothing else worked for a long time. One block at a time; keeps a load from hanging for ever.
    case lastResort
}
