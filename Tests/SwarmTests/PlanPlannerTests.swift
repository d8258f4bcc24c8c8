import SwarmPlan
import Testing

/// A planner with its surroundings' answers written out, event by event.
@Suite struct PlanPlannerTests {
    static let me = SwarmPeer(0)

    static func members(_ count: Int, blocks: Int) -> SwarmMembers {
        SwarmMembers((0..<count).map { SwarmMember(SwarmPeer($0), key: SwarmRandom.mix(UInt64($0) + 1)) }, blockCount: blocks)
    }

    static func planner(blocks: Int = 100, _ adjust: (inout SwarmPlannerConfiguration) -> Void = { _ in }) -> SwarmPlanner {
        var configuration = SwarmPlannerConfiguration(me: me, blockCount: blocks, blockBytes: 1 << 20, seed: 3)
        adjust(&configuration)
        return SwarmPlanner(configuration)
    }

    /// A started planner among `count` members, all connected, holding nothing yet.
    static func connected(_ count: Int, blocks: Int = 100, _ adjust: (inout SwarmPlannerConfiguration) -> Void = { _ in }) -> (SwarmPlanner, [SwarmAction]) {
        var planner = planner(blocks: blocks, adjust)
        var actions = planner.handle(.start(members(count, blocks: blocks)), at: 0)
        for peer in 1..<max(2, count) where count > 1 {
            actions += planner.handle(.connected(SwarmPeer(peer)), at: 1)
            actions += planner.handle(.peerMap(SwarmPeer(peer), SwarmMap(blocks: BlockSet(capacity: blocks))), at: 2)
        }
        return (planner, actions)
    }

    static func storeBlocks(_ actions: [SwarmAction]) -> [Int] {
        actions.compactMap { if case .fetchFromStore(_, let block, _) = $0 { block } else { nil } }
    }

    static func peerFetches(_ actions: [SwarmAction]) -> [(fetch: SwarmFetch, peer: SwarmPeer, block: Int, urgent: Bool)] {
        actions.compactMap { if case .fetchFromPeer(let fetch, let peer, let block, let urgent) = $0 { (fetch, peer, block, urgent) } else { nil } }
    }

    static func full(_ blocks: Int = 100) -> SwarmMap {
        SwarmMap(blocks: .full(blocks), gossip: SwarmGossip(watermark: blocks))
    }

    @Test func whatAnotherZoneHoldsIsBroughtInByOneNodeUnlessItIsLate() {
        let blocks = 60
        // Two here, two there.
        let members = SwarmMembers(
            (0..<4).map { SwarmMember(SwarmPeer($0), key: SwarmRandom.mix(UInt64($0) + 1), zone: $0 < 2 ? "here" : "there") }, blockCount: blocks)
        var planner = Self.planner(blocks: blocks)
        var actions = planner.handle(.start(members), at: 0)
        for peer in 1..<4 { actions += planner.handle(.connected(SwarmPeer(peer)), at: 1) }
        actions += planner.handle(.peerMap(SwarmPeer(1), SwarmMap(blocks: BlockSet(capacity: blocks))), at: 2)
        for peer in 2..<4 { actions += planner.handle(.peerMap(SwarmPeer(peer), Self.full(blocks)), at: 2) }
        /// What is fetched until then, all of it answered, while the others go on to say that all is there.
        func fetched(until end: SwarmInstant, from start: SwarmInstant) -> Set<Int> {
            var blocks: Set<Int> = []
            var now = start
            while now < end {
                let fetches = Self.peerFetches(actions)
                #expect(Self.storeBlocks(actions).isEmpty)
                blocks.formUnion(fetches.map(\.block))
                actions = []
                for fetch in fetches { actions += planner.handle(.received(fetch.fetch), at: now) }
                for peer in 1..<4 { actions += planner.handle(.peerDelta(SwarmPeer(peer), SwarmDelta(gossip: SwarmGossip(watermark: 60))), at: now) }
                actions += planner.handle(.tick, at: now)
                now += .milliseconds(20)
            }
            return blocks
        }
        let share = Set((0..<blocks).filter { members.zone(of: Self.me)?.owner(of: $0) == Self.me })
        #expect(share.count > 20 && fetched(until: .milliseconds(900), from: .milliseconds(10)) == share)
        // The other one of this zone brings nothing in.
        #expect(fetched(until: .seconds(60), from: .milliseconds(900)) == Set(0..<blocks).subtracting(share))
    }

    /// What the planner tells `peer`, until `end`, with the peer's heartbeats between.
    private func told(_ planner: inout SwarmPlanner, to peer: SwarmPeer, from start: SwarmInstant, until end: SwarmInstant) -> [SwarmDelta] {
        var deltas: [SwarmDelta] = []
        var now = start
        while now < end {
            for case .announce(let delta, let peers) in planner.handle(.tick, at: now) where peers.contains(peer) { deltas.append(delta) }
            now += .milliseconds(50)
        }
        return deltas
    }

    @Test func aNeighbourIsToldOfTheBlocksItLacksAndOfThoseItLoses() {
        var (planner, _) = Self.connected(2, blocks: 40)
        let peer = SwarmPeer(1)
        var theirs = BlockSet(capacity: 40)
        theirs.insert(5)
        _ = planner.handle(.peerMap(peer, SwarmMap(blocks: theirs)), at: 3)
        _ = planner.handle(.held([5..<7]), at: .milliseconds(10))
        let first = told(&planner, to: peer, from: .milliseconds(300), until: .milliseconds(800))
        #expect(first.flatMap(\.held) == [6])
        let answers = planner.handle(.peerDelta(peer, SwarmDelta(lost: [5])), at: .milliseconds(810))
        #expect(answers.contains { if case .announce(let delta, _) = $0 { delta.held == [5] } else { false } })
    }

    @Test func aLossIsToldToThoseThatHoldEverythingToo() {
        var (planner, _) = Self.connected(2, blocks: 40)
        let peer = SwarmPeer(1)
        _ = planner.handle(.peerMap(peer, Self.full(40)), at: 3)
        // The last block shows that the file is wrong: whole and not whole between two messages.
        _ = planner.handle(.held([0..<40]), at: .milliseconds(10))
        _ = planner.handle(.lost([30..<40]), at: .milliseconds(11))
        let deltas = told(&planner, to: peer, from: .milliseconds(210), until: .milliseconds(290))
        #expect(deltas.first?.lost == Array(30..<40) && deltas.allSatisfy { !$0.isFull })
    }

    @Test func aloneItReadsEverythingFromTheStore() {
        var (planner, actions) = Self.connected(1, blocks: 40)
        var read: Set<Int> = []
        var now: UInt64 = 10
        while !planner.isComplete, now < 1000 {
            var next: [SwarmAction] = []
            for case .fetchFromStore(let fetch, let block, let reason) in actions {
                #expect(reason == .owner && read.insert(block).inserted)
                next += planner.handle(.received(fetch), at: now)
                now += 1
            }
            actions = next
        }
        #expect(read.count == 40 && planner.isComplete)
    }

    @Test func withOthersItReadsOnlyItsOwnBlocksAndOnlyInsideTheWindow() {
        let (_, actions) = Self.connected(2)
        let members = Self.members(2, blocks: 100)
        let read = Self.storeBlocks(actions)
        #expect(!read.isEmpty && read.allSatisfy { members.owner(of: $0) == Self.me && $0 < 8 })
    }

    @Test func itWaitsForTheFirstMapsBeforeItReadsTheStore() {
        var planner = Self.planner()
        var actions = planner.handle(.start(Self.members(2, blocks: 100)), at: 0)
        actions += planner.handle(.tick, at: .milliseconds(100))
        // The only neighbour has said nothing: it may be a busy seeder.
        actions += planner.handle(.tick, at: .milliseconds(400))
        #expect(Self.storeBlocks(actions).isEmpty)
        actions = planner.handle(.tick, at: .milliseconds(2100))
        #expect(!Self.storeBlocks(actions).isEmpty)
    }

    @Test func whenASeederLivesTheStoreIsNotRead() {
        var planner = Self.planner()
        var actions = planner.handle(.start(Self.members(2, blocks: 100)), at: 0)
        actions += planner.handle(.connected(SwarmPeer(1)), at: 1)
        actions += planner.handle(.peerMap(SwarmPeer(1), Self.full()), at: 2)
        #expect(Self.storeBlocks(actions).isEmpty)
        #expect(!Self.peerFetches(actions).isEmpty)
        var now: UInt64 = 100
        while !planner.isComplete, now < 10_000 {
            let fetches = Self.peerFetches(actions)
            actions = []
            for fetch in fetches { actions += planner.handle(.received(fetch.fetch), at: now) }
            now += 1
            if fetches.isEmpty { actions += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta()), at: now) }
            #expect(Self.storeBlocks(actions).isEmpty)
        }
        #expect(planner.isComplete)
    }

    @Test func theRarestBlockOfAPeerComesFirst() {
        var (planner, _) = Self.connected(6) { $0.peerFetches = 1 }
        // Peers 2 to 5 hold blocks 60 to 62, too busy to be asked; peer 1 holds these and 70.
        for peer in 2..<6 { _ = planner.handle(.peerDelta(SwarmPeer(peer), SwarmDelta(held: [60, 61, 62], load: 50)), at: .milliseconds(1)) }
        let actions = planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(held: [60, 61, 62, 70])), at: .milliseconds(2))
        #expect(Self.peerFetches(actions).map(\.block) == [70])
    }

    @Test func aDemandOvertakesAndIsMarkedUrgent() {
        var (planner, _) = Self.connected(3)
        _ = planner.handle(.peerMap(SwarmPeer(1), Self.full()), at: .milliseconds(1))
        let actions = planner.handle(.demand([93..<94]), at: .milliseconds(2))
        #expect(Self.peerFetches(actions).contains { $0.block == 93 && $0.urgent })
    }

    @Test func aReaderOfANodeThatIsLeftAloneGetsFromTheStoreWhatAnotherHeld() {
        var (planner, actions) = Self.connected(2)
        _ = planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(held: [90])), at: .milliseconds(3))
        actions += planner.handle(.demand([90..<91]), at: .milliseconds(4))
        actions += planner.handle(.disconnected(SwarmPeer(1)), at: .milliseconds(5))
        actions += planner.handle(.members(Self.members(1, blocks: 100)), at: .milliseconds(6))
        // One read stands still, so that what others said is not forgotten; all others come.
        var isFirst = true
        var now: UInt64 = 100
        var read: Set<Int> = []
        while now < 12_000 {
            var next = planner.handle(.tick, at: .milliseconds(now))
            for case .fetchFromStore(let fetch, let block, _) in actions {
                read.insert(block)
                if !isFirst { next += planner.handle(.received(fetch), at: .milliseconds(now + 50)) }
                isFirst = false
            }
            actions = next
            now += 100
        }
        #expect(read.contains(90) && planner.holds(90))
    }

    @Test func aDeadPeersFetchesAreAskedOfOthersAtOnce() {
        var (planner, _) = Self.connected(3) { $0.peerFetches = 12; $0.fetchesPerPeer = 20 }
        var actions = planner.handle(.peerMap(SwarmPeer(1), Self.full()), at: .milliseconds(1))
        let asked = Set(Self.peerFetches(actions).map(\.block))
        #expect(!asked.isEmpty)
        _ = planner.handle(.peerMap(SwarmPeer(2), Self.full()), at: .milliseconds(2))
        actions = planner.handle(.disconnected(SwarmPeer(1)), at: .milliseconds(3))
        #expect(Self.peerFetches(actions).allSatisfy { $0.peer == SwarmPeer(2) })
        #expect(!Self.peerFetches(actions).isEmpty)
        // And it is tried again later.
        actions = planner.handle(.tick, at: .seconds(2))
        #expect(actions.contains(.connect(SwarmPeer(1))))
    }

    @Test func aPeerThatSendsWrongBytesIsBanned() {
        var (planner, _) = Self.connected(3)
        var actions = planner.handle(.peerMap(SwarmPeer(1), Self.full()), at: .milliseconds(1))
        let fetch = Self.peerFetches(actions)[0].fetch
        actions = planner.handle(.failed(fetch, .corrupt), at: .milliseconds(5))
        #expect(actions.contains { if case .ban(SwarmPeer(1), _, .corrupt) = $0 { true } else { false } })
        actions += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta()), at: .seconds(60))
        #expect(Self.peerFetches(actions).isEmpty)
    }

    @Test func aSilentPeerIsSkippedWithinASecond() {
        var (planner, _) = Self.connected(3)
        var actions = planner.handle(.peerMap(SwarmPeer(1), Self.full()), at: .milliseconds(1))
        let asked = Self.peerFetches(actions).map(\.fetch)
        _ = planner.handle(.peerMap(SwarmPeer(2), Self.full()), at: .milliseconds(900))
        actions = planner.handle(.tick, at: .milliseconds(1000))
        #expect(asked.allSatisfy { actions.contains(.cancel($0)) })
        #expect(Self.peerFetches(actions).allSatisfy { $0.peer == SwarmPeer(2) })
    }

    @Test func theNextInLineReadsForADeadOwner() {
        let members = Self.members(2, blocks: 100)
        var (planner, first) = Self.connected(2)
        for case .fetchFromStore(let fetch, _, _) in first { _ = planner.handle(.received(fetch), at: .milliseconds(300)) }
        let actions = planner.handle(.disconnected(SwarmPeer(1)), at: .milliseconds(400))
        for case .fetchFromStore(_, let block, let reason) in actions where members.owner(of: block) != Self.me { #expect(reason == .ownerDead) }
        #expect(Self.storeBlocks(actions).contains { members.owner(of: $0) == SwarmPeer(1) })
    }

    @Test func aThrottlingStoreIsLeftAlone() {
        var (planner, first) = Self.connected(2)
        _ = planner.handle(.storeThrottled(until: .seconds(2)), at: .milliseconds(3))
        for case .fetchFromStore(let fetch, _, _) in first { _ = planner.handle(.received(fetch), at: .milliseconds(4)) }
        let actions = planner.handle(.disconnected(SwarmPeer(1)), at: .milliseconds(10)) + planner.handle(.tick, at: .seconds(1))
        #expect(Self.storeBlocks(actions).isEmpty)
        #expect(!Self.storeBlocks(planner.handle(.tick, at: .milliseconds(2100))).isEmpty)
    }

    @Test func aPeerMayWantABlockOfItsOwnerBeforeItsTurn() {
        let members = Self.members(4, blocks: 100)
        var (planner, _) = Self.connected(4)
        let block = (50..<100).first { members.owner(of: $0) == Self.me } ?? 0
        let actions = planner.handle(.wanted(block: block, by: SwarmPeer(2)), at: .milliseconds(5))
        #expect(Self.storeBlocks(actions) == [block])
        let other = (50..<100).first { members.owner(of: $0) != Self.me } ?? 0
        #expect(Self.storeBlocks(planner.handle(.wanted(block: other, by: SwarmPeer(2)), at: .milliseconds(6))).isEmpty)
    }
}
