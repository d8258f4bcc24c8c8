import SwarmPlan
import TestSupport
import Testing

/// Random surroundings: whatever they do, the planner keeps its promises, and ends when they let it.
@Suite struct PlanInvariantTests {
    // 1364: a fetch from a peer outlived what was believed of its block, and its claim was never taken back.
    @Test(arguments: SeededRandom.seeds(12) + [1364])
    func `whatever happens the promises are kept`(seed: UInt64) {
        var random = SwarmRandom(seed: seed)
        let blocks = 60 + random.below(80)
        let peers = 2 + random.below(8)
        var planner = SwarmPlanner(SwarmPlannerConfiguration(me: SwarmPeer(0), blockCount: blocks, blockBytes: 1 << 20, seed: seed))
        var world = World(blocks: blocks, peers: peers)
        world.carry(planner.handle(.start(world.members), at: 0), seed)
        var now: UInt64 = 0
        for step in 0..<6000 {
            now += UInt64(random.below(20)) * 1_000_000
            // The first two thirds are wild, then the surroundings are kind.
            guard let event = world.event(&random, wild: step < 4000, step) else { continue }
            world.carry(planner.handle(event, at: now), seed)
            planner.checkInvariants()
            if planner.isComplete, step > 4000 { break }
        }
        for _ in 0..<4000 where !planner.isComplete {
            now += 50_000_000
            for event in world.kindEvents() { world.carry(planner.handle(event, at: now), seed) }
            world.carry(planner.handle(.tick, at: now), seed)
        }
        #expect(planner.isComplete, "seed \(seed): \(planner.heldCount) of \(blocks)")
        let budgeted = planner.storeReads.filter { $0.key == .ownerLate || $0.key == .demandLate }.values.reduce(0, +)
        #expect(budgeted <= planner.budget, "seed \(seed)")
        #expect(world.doubles <= max(2, blocks / 50), "seed \(seed)")
    }

    /// A reference of what the planner may know and has asked for.
    struct World {
        let blocks: Int
        let members: SwarmMembers
        let peers: Int
        var connected: Set<SwarmPeer> = []
        var holds: [SwarmPeer: Set<Int>] = [:]
        var fetches: [SwarmFetch: (peer: SwarmPeer?, block: Int)] = [:]
        var have: Set<Int> = []
        var doubles = 0

        init(blocks: Int, peers: Int) {
            self.blocks = blocks
            self.peers = peers
            members = SwarmMembers((0...peers).map { SwarmMember(SwarmPeer($0), key: SwarmRandom.mix(UInt64($0) + 5)) }, blockCount: blocks)
        }

        mutating func carry(_ actions: [SwarmAction], _ seed: UInt64) {
            for action in actions {
                switch action {
                case .fetchFromStore(let fetch, let block, _): begin(fetch, nil, block, seed)
                case .fetchFromPeer(let fetch, let peer, let block, _):
                    #expect(holds[peer]?.contains(block) == true || members.owner(of: block, skipping: { $0 == SwarmPeer(0) }) != nil, "seed \(seed)")
                    if !(holds[peer]?.contains(block) ?? false) {
                        // Not a holder: then somebody in line for the block, and nobody connected offers it.
                        #expect(!connected.contains { holds[$0]?.contains(block) == true }, "seed \(seed): block \(block) of \(peer)")
                    }
                    begin(fetch, peer, block, seed)
                case .cancel(let fetch): fetches[fetch] = nil
                case .disconnect(let peer):
                    connected.remove(peer)
                    holds[peer] = nil
                    #expect(!fetches.values.contains { $0.peer == peer }, "seed \(seed): \(peer) still owes blocks")
                default: break
                }
            }
        }

        private mutating func begin(_ fetch: SwarmFetch, _ peer: SwarmPeer?, _ block: Int, _ seed: UInt64) {
            let others = fetches.values.filter { $0.block == block }
            #expect(others.count <= 1, "seed \(seed): three fetches of block \(block)")
            #expect(!have.contains(block), "seed \(seed): block \(block) is held")
            if !others.isEmpty { doubles += 1 }
            fetches[fetch] = (peer, block)
        }

        mutating func event(_ random: inout SwarmRandom, wild: Bool, _ step: Int) -> SwarmEvent? {
            let peer = SwarmPeer(1 + random.below(peers))
            switch random.below(wild ? 14 : 8) {
            case 0:
                guard connected.insert(peer).inserted else { return nil }
                return .connected(peer)
            case 1, 2:
                guard connected.contains(peer) else { return nil }
                if holds[peer] == nil {
                    holds[peer] = []
                    return .peerMap(peer, SwarmMap(blocks: BlockSet(capacity: blocks)))
                }
                let block = random.below(blocks)
                holds[peer]?.insert(block)
                return .peerDelta(peer, SwarmDelta(held: [block], load: random.below(6)))
            case 3, 4, 5:
                guard let fetch = fetches.keys.sorted(by: { $0.number < $1.number }).first, let (_, block) = fetches[fetch] else { return .tick }
                fetches[fetch] = nil
                have.insert(block)
                return .received(fetch)
            case 6: return .tick
            case 7: return .demand([random.below(blocks)..<blocks].map { $0.lowerBound..<min(blocks, $0.lowerBound + 2) })
            case 8:
                guard connected.remove(peer) != nil else { return nil }
                holds[peer] = nil
                for (fetch, record) in fetches where record.peer == peer { fetches[fetch] = nil }
                return .disconnected(peer)
            case 9:
                guard let fetch = fetches.keys.sorted(by: { $0.number < $1.number }).last, let record = fetches[fetch] else { return nil }
                fetches[fetch] = nil
                let failures: [SwarmFetchFailure] = [.broken, .corrupt, .notThere, .notBegun]
                let failure = failures[random.below(record.peer == nil ? 1 : 4)]
                if failure == .notThere, let peer = record.peer { holds[peer]?.remove(record.block) }
                return .failed(fetch, failure)
            case 12: return .upload([.sending, .resting, .sent][random.below(3)], to: peer, block: random.below(blocks))
            case 13:
                guard holds[peer] != nil else { return nil }
                var delta = SwarmDelta(load: random.below(100))
                delta.handed = [random.below(blocks), random.below(blocks)]
                delta.heldCount = random.below(blocks + 1)
                return .peerDelta(peer, delta)
            case 10: return .wanted(block: random.below(blocks), by: peer)
            default: return .uploads(random.below(8))
            }
        }

        /// Everything asked for comes.
        mutating func kindEvents() -> [SwarmEvent] {
            let events = fetches.keys.sorted { $0.number < $1.number }
            var seen: Set<Int> = []
            var list: [SwarmEvent] = []
            for fetch in events {
                guard let (_, block) = fetches[fetch] else { continue }
                fetches[fetch] = nil
                have.insert(block)
                if seen.insert(block).inserted { list.append(.received(fetch)) }
            }
            return list + connected.sorted().filter { holds[$0] != nil }.map { .peerDelta($0, SwarmDelta()) }
        }
    }
}
