internal import ChunkStore
internal import Swarm
internal import SwarmPlan

/// The peers' messages, handed on to the planner.
extension SwarmFill {
    func take(_ input: ModelSwarm.Input) {
        guard !isClosed else { return }
        if !hasStarted, case .members = input {
        } else if !hasStarted {
            // Peers may be here before the list of them.
            early.append(input)
            return
        }
        switch input {
        case .members(let list):
            let members = SwarmMembers(
                list, blockCount: shared.layout.count, model: SwarmMember.hash(of: set.manifest.generation.description))
            if hasStarted {
                hand(.plan(.members(members)))
            } else {
                hasStarted = true
                hand(.plan(.start(members)))
                if !earlyDemands.isEmpty { hand(.plan(.demand(earlyDemands))) }
                earlyDemands = []
                let waited = early
                early = []
                for input in waited { take(input) }
            }
        case .connected(let peer): hand(.plan(.connected(peer)))
        case .takesNoTurns(let peer): hand(.plan(.takesNoTurns(peer)))
        case .declined(let peer): hand(.plan(.declined(peer)))
        case .disconnected(let peer):
            announced[peer] = nil
            hand(.fetches(.peerLeft(peer)))
            hand(.plan(.disconnected(peer)))
        case .map(let peer, let map, let digests):
            announced[peer] = map.blocks
            var next = digests.makeIterator()
            map.blocks.forEach { block in
                if let digest = next.next() { learn(block, digest, peer) }
            }
            hand(.plan(.peerMap(peer, map)))
        case .delta(let peer, let delta, let digests):
            for (block, digest) in zip(delta.held, digests) {
                announced[peer, default: BlockSet(capacity: shared.layout.count)].insert(block)
                learn(block, digest, peer)
            }
            hand(.plan(.peerDelta(peer, delta)))
        case .wanted(let block, let peer):
            isWantedElsewhere(block)
            hand(.plan(.wanted(block: block, by: peer)))
        case .uploads(let load): hand(.plan(.uploads(load)))
        case .upload(let change, let peer, let block): hand(.plan(.upload(change, to: peer, block: block)))
        }
    }

    func learn(_ block: Int, _ digest: UInt64, _ peer: SwarmPeer) {
        book.asserted(block, digest: digest, by: peer.index)
        if let fetch = machine.unjudged(block: block) { judge(fetch) }
    }
}
