import SwarmPlan
import TestSupport
import Testing

/// The planner's machines, each driven by random calls beside a plain reference of what it should know.
@Suite struct PlanMachinesTests {
    static let blocks = 70

    @Test(arguments: SeededRandom.seeds(8))
    func `the ledger offers exactly the blocks that are missing, idle and given by a neighbour`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ledger = SwarmLedger(blockCount: Self.blocks)
        var held: Set<Int> = []
        var abandoned: Set<Int> = []
        var fetches: [Int: Int] = [:]
        var holders: [Int: Int] = [:]
        for _ in 0..<3000 {
            let block = Int.random(in: 0..<Self.blocks, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0:
                guard fetches[block, default: 0] == 0 else { continue }
                #expect(ledger.hold(block) == held.insert(block).inserted, "seed \(seed)")
                abandoned.remove(block)
            case 1: #expect(ledger.lose(block) == (held.remove(block) != nil), "seed \(seed)")
            case 2:
                guard !held.contains(block), fetches[block, default: 0] == 0, random.chance(1, of: 8) else { continue }
                #expect(ledger.abandon(block) == abandoned.insert(block).inserted, "seed \(seed)")
            case 3:
                guard ledger.isMissing(block), fetches[block, default: 0] < 2 else { continue }
                ledger.fetchBegan(block)
                fetches[block, default: 0] += 1
            case 4:
                guard fetches[block, default: 0] > 0 else { continue }
                ledger.fetchEnded(block)
                fetches[block, default: 0] -= 1
            case 5:
                ledger.holderCame(block)
                holders[block, default: 0] += 1
            default:
                guard holders[block, default: 0] > 0 else { continue }
                ledger.holderWent(block)
                holders[block, default: 0] -= 1
            }
            ledger.checkInvariants()
            let offered = (0..<Self.blocks).filter {
                !held.contains($0) && !abandoned.contains($0) && fetches[$0, default: 0] == 0
                    && holders[$0, default: 0] > 0
            }
            #expect((0..<Self.blocks).filter { ledger.candidates.contains($0) } == offered, "seed \(seed)")
            #expect(ledger.isSatisfied == (held.count + abandoned.count == Self.blocks), "seed \(seed)")
        }
    }

    @Test func `a block that arrives although its file failed is held, and counts once`() {
        var ledger = SwarmLedger(blockCount: 2)
        let (wasNew, came) = (ledger.abandon(0), ledger.hold(0))
        #expect(wasNew && came)
        ledger.checkInvariants()
        #expect(!ledger.isSatisfied && ledger.isMissing(1) && ledger.abandoned.isEmpty)
    }

    @Test(arguments: SeededRandom.seeds(8))
    func `the watermark is the first position that nobody holds, whoever says what`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var reading = SwarmReading(blockCount: Self.blocks)
        var exists: Set<Int> = []
        var now: UInt64 = 0
        for _ in 0..<2000 {
            now += UInt64.random(in: 0..<40, using: &random) * 1_000_000
            let position = Int.random(in: 0..<Self.blocks, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0:
                reading.held(position, at: now)
                exists.insert(position)
            case 1: reading.claim(position)
            case 2: reading.unclaim(position)
            case 3:
                let mask = UInt64.random(in: .min ... .max, using: &random)
                let isBelieved = reading.believesGossip(at: now)
                let far = min(position, Self.blocks)
                // What lies before the own watermark is known already.
                let said = (0..<64).filter { mask >> UInt64($0) & 1 == 1 }.map { far + $0 }
                reading.adopt(SwarmGossip(watermark: far, beyond: [mask], claimed: [~mask]), at: now)
                if isBelieved { exists.formUnion((0..<far) + said.filter { $0 < Self.blocks }) }
            case 4: reading.watchWindow(8, patience: .milliseconds(1500), at: now)
            case 5: reading.forgetOldClaims(at: now)
            case 6:
                guard random.chance(1, of: 20) else { continue }
                let kept = exists.filter { _ in random.chance(1, of: 2) }
                reading.believeFirstHandOnly(
                    at: now, isHeld: { kept.contains($0) }, isComing: { _ in false }, isAbandoned: { _ in false })
                exists = kept
            default:
                let before = Int.random(in: 0...position, using: &random)
                let holes = reading.holes(before: position, limit: .max)
                #expect(holes <= (0..<position).count { !exists.contains($0) }, "seed \(seed)")
                #expect(reading.holes(before: before, limit: .max) <= holes, "seed \(seed)")
            }
            reading.checkInvariants()
            let first = (0..<Self.blocks).first { !exists.contains($0) } ?? Self.blocks
            #expect(reading.watermark == first && reading.isOver == (first == Self.blocks), "seed \(seed)")
        }
    }

    @Test func `what one node says of the reading, another one learns`() {
        var teller = SwarmReading(blockCount: Self.blocks)
        for position in [0, 1, 2, 5, 66] { teller.held(position, at: 1) }
        teller.claim(7)
        var listener = SwarmReading(blockCount: Self.blocks)
        listener.adopt(teller.gossip(fullAge: nil), at: 2)
        #expect(listener.exists == teller.exists && listener.watermark == 3)
        #expect(listener.isClaimed(7) && !listener.claimed.contains(7) && !listener.isClaimed(8))
        listener.forgetOldClaims(at: .seconds(2))
        #expect(!listener.isClaimed(7))
    }

    @Test func `news of a full holder grows old on its way and dies with it`() {
        var holder = SwarmFullHolder()
        #expect(holder.age(at: .seconds(1)) == nil)
        holder.heard(age: 20, at: .seconds(10), started: 0)
        #expect(holder.isNews && !holder.isSeed && holder.age(at: .seconds(11)) == 30)
        holder.heard(age: 50, at: .seconds(11), started: 0)
        #expect(holder.age(at: .seconds(11)) == 30)
        #expect(holder.isKnown(at: .milliseconds(15_999)) && !holder.isKnown(at: .seconds(16)))
    }

    @Test(arguments: SeededRandom.seeds(8))
    func `fetches are counted by source, and their records go with them`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var fetches = SwarmFetches(hedges: 3)
        var known: [SwarmFetch: (block: Int, peer: SwarmPeer?)] = [:]
        for step in 0..<2000 {
            let now = UInt64(step) * 1_000_000
            let block = Int.random(in: 0..<12, using: &random)
            let peer = random.chance(1, of: 4) ? nil : SwarmPeer(Int.random(in: 1..<5, using: &random))
            if random.chance(1, of: 2) {
                // As the planner: alone, or beside one fetch from another peer.
                let others = known.values.filter { $0.block == block }
                let isHedge = others.count == 1 && peer != nil && others[0].peer != nil && others[0].peer != peer
                guard others.isEmpty || isHedge else { continue }
                let id = fetches.begin(block, from: peer, urgent: false, expected: 1, at: now)
                #expect(known.updateValue((block, peer), forKey: id) == nil, "seed \(seed): \(id) twice")
            } else if let id = known.keys.sorted(by: { $0.number < $1.number }).randomElement(using: &random) {
                if random.chance(1, of: 3) {
                    #expect(fetches.progressed(id, bytes: 5, at: now)?.block == known[id]?.block, "seed \(seed)")
                } else {
                    #expect(fetches.end(id)?.peer == known[id]?.peer && fetches.end(id) == nil, "seed \(seed)")
                    known[id] = nil
                }
            }
            fetches.checkInvariants()
            #expect(Set(fetches.records.map(\.id)) == Set(known.keys), "seed \(seed)")
            #expect(fetches.fromStore == known.values.count { $0.peer == nil }, "seed \(seed)")
        }
    }

    @Test func `a block whose relay broke off is barred from relays for a while`() {
        var fetches = SwarmFetches(hedges: 1)
        fetches.barRelays(of: 4, until: 100)
        #expect(!fetches.mayRelay(4, at: 99) && fetches.mayRelay(4, at: 100) && fetches.mayRelay(5, at: 0))
        fetches.forgetOldBars(at: 100)
        #expect(fetches.mayRelay(4, at: 0))
    }

    @Test(arguments: SeededRandom.seeds(8))
    func `a neighbour gives each block once, whatever it says`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var neighbours = SwarmNeighbours(blockCount: Self.blocks)
        var gives: [SwarmPeer: Set<Int>] = [:]
        for step in 0..<3000 {
            let peer = SwarmPeer(Int.random(in: 1..<6, using: &random))
            let block = Int.random(in: -2..<Self.blocks + 2, using: &random)
            guard let slot = neighbours.slot(of: peer) else {
                #expect(gives[peer] == nil, "seed \(seed)")
                let added = neighbours.add(peer, isMine: false, isNear: true, at: UInt64(step))
                neighbours.takeMap(BlockSet(capacity: Self.blocks), from: added)
                gives[peer] = []
                continue
            }
            let isBlock = (0..<Self.blocks).contains(block)
            let gave = gives[peer]?.contains(block) == true
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let change = neighbours.holds(block, at: slot)
                #expect((change == .gives) == (isBlock && !gave), "seed \(seed)")
                if isBlock { gives[peer]?.insert(block) }
            case 2, 3:
                let change = neighbours.receives(block, at: slot)
                #expect((change == .gives) == (isBlock && !gave), "seed \(seed)")
                if isBlock { gives[peer]?.insert(block) }
            case 4:
                let wasGiven = neighbours.forgetsBlock(block, at: slot)
                #expect(wasGiven == (gives[peer]?.remove(block) != nil), "seed \(seed)")
            default:
                guard random.chance(1, of: 20) else { continue }
                for block in 0..<Self.blocks { _ = neighbours.forgetsBlock(block, at: slot) }
                neighbours.forgetsMap(slot)
                neighbours.remove(peer)
                gives[peer] = nil
            }
            neighbours.checkInvariants()
            #expect(Set(neighbours.list.map(\.peer)) == Set(gives.keys), "seed \(seed)")
        }
    }

    @Test(arguments: SeededRandom.seeds(8))
    func `demands are kept in their order until they are settled`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var demands = SwarmDemands(blockCount: Self.blocks)
        var waiting: [Int] = []
        var held: Set<Int> = []
        for step in 0..<2000 {
            let first = Int.random(in: 0..<Self.blocks, using: &random)
            if random.chance(1, of: 3) {
                let range = first..<min(Self.blocks, first + 4)
                let ahead = range.upperBound..<range.upperBound
                demands.ask(range, ahead: ahead, isMissing: { !held.contains($0) }, at: UInt64(step))
                waiting += range.filter { !held.contains($0) && !waiting.contains($0) }
            } else if random.chance(1, of: 2) {
                held.insert(first)
                demands.settled(first)
                waiting.removeAll { $0 == first }
            } else {
                held.remove(first)
            }
            demands.checkInvariants()
            #expect(demands.queue.map(\.block) == waiting, "seed \(seed)")
        }
    }

    @Test func `the next blocks of a reader come in order, without those that nobody gives`() {
        var demands = SwarmDemands(blockCount: 10)
        demands.ask(0..<2, ahead: 2..<7, isMissing: { $0 != 3 }, at: 0)
        var given = BlockSet(capacity: 10)
        for block in [3, 4, 6, 8] { given.insert(block) }
        #expect(demands.nextSoon(among: given) == 4)
        #expect(demands.nextSoon(among: given) == 6)
        #expect(demands.nextSoon(among: given) == nil && demands.isSoonEmpty)
    }

    @Test func `penalties double, and a peer that served is believed for longer`() {
        var reputations = SwarmReputations(firstBan: .seconds(1), longestBan: .seconds(30))
        let (good, strange) = (SwarmPeer(1), SwarmPeer(2))
        reputations.served(good)
        #expect(reputations.failed(good, at: 0).tooMany == 3 && reputations.failed(strange, at: 0).tooMany == 2)
        #expect(reputations.failed(strange, at: 0).bannedUntil == .seconds(2))
        for _ in 0..<10 { _ = reputations.failed(strange, at: 0) }
        #expect(reputations.failed(strange, at: 0).bannedUntil == .seconds(30))
        reputations.disconnected(good, at: 0)
        #expect(reputations.isDead(good, at: .seconds(4)) && reputations.isAnyDead(at: .seconds(4)))
        #expect(reputations.connected(good, at: .seconds(4)) && !reputations.isDead(good, at: .seconds(4)))
    }
}
