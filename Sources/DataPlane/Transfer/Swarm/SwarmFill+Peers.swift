internal import ChunkStore
internal import Swarm
internal import SwarmPlan

/// What peers say, handed on to the planner.
extension SwarmFill {
    func take(_ input: ModelSwarm.Input) {
        guard !isClosed else { return }
        if !hasStarted, case .members = input {} else if !hasStarted {
            // Peers may be here before the list of them.
            early.append(input)
            return
        }
        switch input {
        case .members(let list):
            let members = SwarmMembers(list, blockCount: shared.layout.count, model: SwarmMember.hash(of: model.manifest.generation.description))
            if hasStarted {
                handle(.members(members))
            } else {
                hasStarted = true
                handle(.start(members))
                if !earlyDemands.isEmpty { handle(.demand(earlyDemands)) }
                earlyDemands = []
                let waited = early
                early = []
                for input in waited { take(input) }
            }
        case .connected(let peer): handle(.connected(peer))
        case .declined(let peer): handle(.declined(peer))
        case .disconnected(let peer):
            announced[peer] = nil
            // The planner counts their fetches as failed.
            for (fetch, flight) in flights where flight.peer == peer { end(fetch, flight) }
            handle(.disconnected(peer))
        case .map(let peer, let map, let digests):
            announced[peer] = map.blocks
            var next = digests.makeIterator()
            map.blocks.forEach { block in
                if let digest = next.next() { learn(block, digest, peer) }
            }
            handle(.peerMap(peer, map))
        case .delta(let peer, let delta, let digests):
            for (block, digest) in zip(delta.held, digests) {
                announced[peer, default: BlockSet(capacity: shared.layout.count)].insert(block)
                learn(block, digest, peer)
            }
            handle(.peerDelta(peer, delta))
        case .wanted(let block, let peer): handle(.wanted(block: block, by: peer))
        case .uploads(let load): handle(.uploads(load))
        }
    }

    func learn(_ block: Int, _ digest: UInt64, _ peer: SwarmPeer) {
        book.asserted(block, digest: digest, by: peer.index)
        guard let fetch = busy[block], let flight = flights[fetch], flight.waitsForDigest != nil else { return }
        judge(fetch, flight)
    }
}
