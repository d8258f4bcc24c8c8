package import ChunkStore
package import Logging
package import RangeTransfer
package import Swarm
internal import Synchronization
package import Transfer

/// This node's part in the model's swarm.
extension OpenModel {
    /// Serves a model that is whole to other nodes, unless all of it is served already. A part that is served already
    /// is served on until all is.
    package func share(peers: PeerLink, limits: FillLimits, logger: Logger) {
        let node: SwarmFill? = state.withLock { state in
            guard state.node == nil || state.hasUnoffered, state.successor == nil, state.fill == nil,
                !state.isUpdating, cached.files.allSatisfy({ $0.state == .complete || $0.awaitsChecksAlone })
            else { return nil }
            state.hasUnoffered = false
            let node = SwarmFill(
                model: cached, client: nil, swarm: peers.swarm, peerEngine: peers.engine, pool: peers.pool,
                limits: limits, logger: logger)
            state.successor = node
            return node
        }
        guard let node else { return }
        Task {
            await cached.checked()
            // A chunk was lost: the next opening fills the model and shares it. Without a client this node could not
            // read what falls to it.
            guard cached.files.allSatisfy({ $0.state == .complete }) else {
                return state.withLock { if $0.successor === node { $0.successor = nil } }
            }
            await node.serve()
            let hasMore = state.withLock { state in
                guard state.successor === node else { return false }
                state.successor = nil
                retire(&state)
                state.node = node
                return state.hasUnoffered
            }
            if hasMore { share(peers: peers, limits: limits, logger: logger) }
        }
    }

    /// The former parts in the swarm make way; they have ended or do soon.
    func retire(_ state: inout State) {
        for node in [state.node, state.successor].compactMap({ $0 }) {
            state.pastCounters.add(node)
            Task { await node.close() }
        }
        state.node = nil
        state.successor = nil
    }

    /// Nil: this node does not share the model.
    package func swarmReport() async -> SwarmReport? { await state.withLock { $0.node }?.report() }
}

/// The parts that the agent's models need to load together with other nodes.
package struct PeerLink: Sendable {
    let swarm: Swarm
    /// Receives from peers: it gives a dead one up within a second.
    let engine: TransferEngine
    /// Of the whole agent.
    let pool: StagingPool

    package init(swarm: Swarm, engine: TransferEngine, pool: StagingPool) {
        self.swarm = swarm
        self.engine = engine
        self.pool = pool
    }
}
