import SwarmPlan
import TestSupport
import Testing

@Suite struct PlanMembersTests {
    private func members(_ range: some Sequence<Int>, blocks: Int = 480) -> SwarmMembers {
        SwarmMembers(range.map { SwarmMember(SwarmPeer($0), key: SwarmMember.hash(of: "10.0.0.\($0):9440")) }, blockCount: blocks, model: 42)
    }

    @Test(arguments: [1, 2, 3, 10, 50, 200, 1000])
    func noMemberOwnsMuchMoreThanItsShare(count: Int) {
        let members = members(0..<count)
        var owned = [Int](repeating: 0, count: count)
        for block in 0..<480 { owned[members.owner(of: block)?.index ?? 0] += 1 }
        #expect(owned.max() ?? 0 <= 480 * 5 / (4 * count) + 2)
        #expect(owned.reduce(0, +) == 480)
    }

    @Test func everyNodeNamesTheSameOwnersWhateverItsNumbering() {
        let one = members(0..<50)
        let reversed = SwarmMembers(
            (0..<50).map { SwarmMember(SwarmPeer(49 - $0), key: SwarmMember.hash(of: "10.0.0.\($0):9440")) }, blockCount: 480, model: 42)
        for block in 0..<480 { #expect(reversed.owner(of: block)?.index == 49 - (one.owner(of: block)?.index ?? 0)) }
    }

    @Test func oneMoreMemberMovesFewBlocks() {
        let before = members(0..<50)
        let after = members(0..<51)
        let moved = (0..<480).count { before.owner(of: $0) != after.owner(of: $0) }
        // A fiftieth of the blocks must move, 10 of 480; bounded loads move some more.
        #expect(moved < 480 / 8)
    }

    @Test func theDeadAreSkippedAndTheirBlocksSpread() {
        let members = members(0..<50)
        let heirs = Set((0..<480).filter { members.owner(of: $0) == SwarmPeer(7) }.compactMap { members.owner(of: $0, skipping: { $0 == SwarmPeer(7) }) })
        #expect(!heirs.contains(SwarmPeer(7)))
        #expect(heirs.count > 3)
        #expect(members.owner(of: 3, skipping: { _ in true }) == nil)
    }

    @Test func anEmptySwarmHasNoOwners() {
        let none = SwarmMembers([], blockCount: 10)
        #expect(none.owner(of: 0) == nil)
        #expect(none.deputy(of: 0, rank: 1) == nil)
    }
}

@Suite struct PlanBlockTests {
    @Test func aSetOfBlocksCountsAndFindsHoles() {
        var set = BlockSet(capacity: 130)
        for block in 0..<129 { set.insert(block) }
        #expect(set.count == 129 && !set.isFull && set.firstMissing(from: 0) == 129)
        set.insert(129)
        set.insert(130)
        #expect(set.isFull && set.firstMissing(from: 5) == 130 && set == .full(130))
        set.remove(64)
        #expect(set.firstMissing(from: 3) == 64 && set.count == 129)
        #expect(BlockSet(capacity: 130, words: set.words) == set)
    }

    @Test(arguments: [(253_000_000, 512 << 10), (1 << 30, 2 << 20), (9 << 30, 16 << 20), (664_000_000_000, 16 << 20), (100_000_000, 128 << 10), (1000, 128 << 10)] as [(Int64, Int)])
    func blocksAreSmallEnoughForSmallModels(model: Int64, block: Int) {
        #expect(SwarmBlockSize.bytes(modelBytes: model, chunkBytes: 16 << 20) == block)
    }
}

@Suite struct PlanZoneTests {
    private func members(_ zones: [String]) -> SwarmMembers {
        SwarmMembers(zones.enumerated().map { SwarmMember(SwarmPeer($0), key: SwarmRandom.mix(UInt64($0)), zone: $1) }, blockCount: 300)
    }

    @Test func eachZoneDealsOutAllBlocksAmongItsOwn() throws {
        let all = members(["a", "b", "a", "b", "b", ""])
        #expect(all.isOneZone(SwarmPeer(0), SwarmPeer(2)) && !all.isOneZone(SwarmPeer(0), SwarmPeer(1)) && !all.isOneZone(SwarmPeer(0), SwarmPeer(5)))
        for (zone, peers) in [(0, [0, 2]), (1, [1, 3, 4]), (5, [5])] {
            let own = try #require(all.zone(of: SwarmPeer(zone)))
            #expect(Set(own.all) == Set(peers.map { SwarmPeer($0) }))
            let shares = Dictionary(grouping: 0..<300) { own.owner(of: $0) }
            #expect(shares.count == peers.count && shares.values.allSatisfy { $0.count * peers.count <= 300 * 5 / 4 + 2 * peers.count })
        }
    }

    @Test func oneZoneIsNone() {
        let all = members(["a", "a", "a"])
        #expect(all.zone(of: SwarmPeer(0)) == nil && all.isOneZone(SwarmPeer(0), SwarmPeer(1)))
    }
}

@Suite struct PlanMessageTests {
    @Test func `a delta that hands blocks over says so in its head, and one that is cut is none`() {
        var delta = SwarmDelta(held: [7], lost: [2], load: 48, gossip: SwarmGossip(watermark: 40, fullAge: 1))
        delta.heldCount = 12
        #expect(MessageHead(delta.encoded()[0])?.kind == .delta)
        delta.handed = [44, 41, 4999]
        #expect(MessageHead(delta.encoded()[0])?.kind == .handover)
        #expect(roundTrip(delta) == delta)
        for length in 0..<delta.encoded().count {
            #expect(SwarmDelta(decoding: Array(delta.encoded().prefix(length)), blockCount: 5000) == nil)
        }
        #expect(SwarmDelta(decoding: delta.encoded(), blockCount: 4999) == nil, "a block that the model lacks")
        delta = SwarmDelta()
        delta.handed = [0, 1, 2, 3, 0]
        #expect(SwarmDelta(decoding: delta.encoded(), blockCount: 4) == nil, "more than the model has")
    }

    private func roundTrip(_ delta: SwarmDelta) -> SwarmDelta? { SwarmDelta(decoding: delta.encoded(), blockCount: 5000) }

    @Test func messagesComeBackAsTheyWere() {
        var delta = SwarmDelta(held: [7, 4999, 3], arriving: [12], lost: [0], load: 300, gossip: SwarmGossip(watermark: 4711, beyond: [5, 1 << 63], claimed: [7], fullAge: 3))
        delta.isFull = true
        delta.heldCount = 4999
        #expect(roundTrip(delta) == delta)
        delta.heldCount = 5001
        #expect(roundTrip(delta) == nil)
        #expect(roundTrip(SwarmDelta()) == SwarmDelta())
        var blocks = BlockSet(capacity: 5000)
        for block in stride(from: 0, to: 5000, by: 7) { blocks.insert(block) }
        let map = SwarmMap(blocks: blocks, arriving: [1, 2], load: 3, gossip: delta.gossip)
        #expect(SwarmMap(decoding: map.encoded(), blockCount: 5000) == map)
        #expect(SwarmMap(decoding: map.encoded(), blockCount: 4999) == nil)
    }

    @Test func theNewsOfOneBlockTakesABoutTenBytes() {
        let delta = SwarmDelta(held: [300], load: 4, gossip: SwarmGossip(watermark: 290, beyond: [0b101], claimed: [0b1111]))
        #expect(delta.encoded().count <= 14)
    }

    @Test func bytesOfAStrangerNeverMakeABadMessage() {
        let seed = SeededRandom.seed
        var random = SwarmRandom(seed: seed)
        var delta = SwarmDelta(held: [7, 4999, 3] + Array(20..<40), arriving: [12], lost: [9], load: 300, gossip: SwarmGossip(watermark: 4711, beyond: [5], claimed: [7], fullAge: 2))
        delta.heldCount = 77
        let whole = delta.encoded()
        var blocks = BlockSet(capacity: 5000)
        for block in stride(from: 0, to: 5000, by: 7) { blocks.insert(block) }
        let map = SwarmMap(blocks: blocks, arriving: [1, 2], load: 3, gossip: delta.gossip).encoded()
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            bytes.removeLast(random.below(3))
            var other = map
            for _ in 0...random.below(4) { other[random.below(24)] = UInt8(truncatingIfNeeded: random.next()) }
            other.removeLast(random.below(3))
            if let read = SwarmMap(decoding: other, blockCount: 5000) {
                #expect(read.blocks.capacity == 5000 && read.arriving.allSatisfy { (0..<5000).contains($0) } && read.gossip.watermark <= 5000, "seed \(seed)")
            }
            guard let read = SwarmDelta(decoding: bytes, blockCount: 5000) else { continue }
            #expect((read.held + read.arriving + read.lost).allSatisfy { (0..<5000).contains($0) } && read.gossip.watermark <= 5000, "seed \(seed)")
        }
    }
}

@Suite struct PlanUploadQueueTests {
    @Test func fewAreServedAtOnceAndReadersGoFirst() {
        var queue = UploadQueue<Int>(slots: 2)
        #expect(queue.arrived(1, block: 1, urgent: false) == [1])
        #expect(queue.arrived(2, block: 2, urgent: false) == [2])
        #expect(queue.arrived(3, block: 3, urgent: false) == [])
        #expect(queue.arrived(4, block: 4, urgent: true) == [])
        #expect(queue.load == 4 && queue.waiting == [4, 3])
        #expect(queue.ended(1) == [4])
        #expect(queue.ended(3) == [])
        #expect(queue.ended(2) == [] && queue.load == 1)
    }

    @Test func aBlockThatManyWantIsServedToTwoAtOnceAndHoldsUpNoOther() {
        var queue = UploadQueue<Int>(slots: 6, slotsPerBlock: 2)
        #expect((1...4).flatMap { queue.arrived($0, block: 7, urgent: false) } == [1, 2])
        #expect(queue.arrived(5, block: 8, urgent: false) == [5])
        #expect(queue.load == 5 && queue.waiting == [3, 4])
        #expect(queue.ended(1) == [3])
        #expect(queue.ended(4) == [] && queue.waiting == [])
    }

    @Test func aRelayThatWaitsForBytesGivesItsSlotAway() {
        var queue = UploadQueue<Int>(slots: 1)
        _ = queue.arrived(1, block: 1, urgent: false)
        _ = queue.arrived(2, block: 2, urgent: false)
        #expect(queue.pause(1) == [2])
        queue.resume(1)
        #expect(Set(queue.current) == [1, 2] && queue.load == 2)
        #expect(queue.ended(1) == [] && queue.ended(2) == [] && queue.load == 0)
    }
}
