internal import ChunkStore
public import Swarm
internal import SwarmPlan

/// This node's knowledge of the model's swarm, for people.
extension SwarmFill {
    public func report() -> SwarmReport {
        let view = planner.view
        let neighbours = Dictionary(view.neighbours.map { ($0.peer, $0) }, uniquingKeysWith: { first, _ in first })
        let faults = faultyPeers
        let receipts = self.receipts.withLock { $0 }
        let now = ContinuousClock.now
        let peers = (net?.peers ?? []).map { peer -> SwarmReport.Peer in
            let address = "\(peer.address)"
            let neighbour = neighbours[peer.peer]
            return SwarmReport.Peer(
                address: address, zone: peer.zone.isEmpty ? nil : peer.zone, connected: peer.isConnected,
                heldBlocks: neighbour?.held ?? 0, load: neighbour?.load ?? 0,
                asked: neighbour?.outstanding ?? 0, receivedBytes: receipts.bytes(from: address),
                bytesPerSecond: receipts.bytesPerSecond(from: address, now: now),
                wrongBlocks: faults[address] ?? 0)
        }
        let awaited = view.awaited.map { block, owner in
            SwarmReport.Awaited(
                block: block,
                owner: owner == SwarmPeer(0) ? nil : owner.flatMap { net?.address(of: $0) }.map { "\($0)" })
        }
        return SwarmReport(
            model: model.id, zone: swarm.configuration.zone.isEmpty ? nil : swarm.configuration.zone,
            blocks: shared.layout.count, blockBytes: Int64(shared.layout.blockBytes), heldBlocks: shared.heldCount,
            fromPeers: view.fromPeers, fromStore: view.fromStore,
            storeReads: Dictionary(uniqueKeysWithValues: view.storeReads.map { ($0.key.rawValue, $0.value) }),
            swarmBlocks: view.watermark, load: view.uploads, awaited: awaited,
            peers: peers.sorted { $0.address < $1.address })
    }
}
