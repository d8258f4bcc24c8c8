import SwarmPlan
import Testing

/// Peers that lie, fail or are very slow, and what the planner makes of it.
@Suite struct PlanBadPeerTests {
    private static func members(_ count: Int) -> SwarmMembers { PlanPlannerTests.members(count, blocks: 100) }

    @Test func numbersInARangeAreSpreadOverIt() {
        var random = SwarmRandom(seed: 1)
        var seen = [Int](repeating: 0, count: 10)
        for _ in 0..<1000 { seen[random.below(10)] += 1 }
        #expect(seen.allSatisfy { (50...150).contains($0) })
        #expect(random.below(1) == 0 && random.below(0) == 0)
    }

    @Test func whatAFailingPeerSaidToHoldIsReadFromTheStore() {
        var (planner, _) = PlanPlannerTests.connected(2)
        var actions = planner.handle(.peerMap(SwarmPeer(1), PlanPlannerTests.full()), at: .milliseconds(10))
        var now: UInt64 = .milliseconds(10)
        var read: Set<Int> = []
        var wasCutOff = false
        // Whatever it is asked for breaks off; it talks on.
        while now < .seconds(20), read.isEmpty {
            let failing = PlanPlannerTests.peerFetches(actions).map(\.fetch)
            actions = []
            now += .milliseconds(100)
            for fetch in failing { actions += planner.handle(.failed(fetch, .broken), at: now) }
            actions += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(gossip: SwarmGossip(watermark: 100, fullAge: 0))), at: now)
            actions += planner.handle(.tick, at: now)
            wasCutOff = wasCutOff || actions.contains(.disconnect(SwarmPeer(1)))
            read.formUnion(PlanPlannerTests.storeBlocks(actions))
        }
        #expect(wasCutOff && !read.isEmpty)
    }

    @Test func aBlockWhoseRelayBrokeOffIsNotTakenFromOtherRelays() {
        var (planner, _) = PlanPlannerTests.connected(3)
        func fetches(_ actions: [SwarmAction]) -> [(fetch: SwarmFetch, peer: SwarmPeer)] {
            PlanPlannerTests.peerFetches(actions).filter { $0.block == 50 }.map { ($0.fetch, $0.peer) }
        }
        let first = fetches(planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(arriving: [50])), at: .milliseconds(10)))
        #expect(first.map(\.peer) == [SwarmPeer(1)])
        _ = planner.handle(.peerDelta(SwarmPeer(2), SwarmDelta(arriving: [50])), at: .milliseconds(11))
        // The other may have it from the same source: news of its end is on its way.
        #expect(fetches(planner.handle(.failed(first[0].fetch, .broken), at: .milliseconds(20))).isEmpty)
        #expect(fetches(planner.handle(.tick, at: .milliseconds(400))).isEmpty)
        #expect(fetches(planner.handle(.tick, at: .milliseconds(750))).map(\.peer) == [SwarmPeer(2)])
    }

    @Test func aBlockWhoseRelayBrokeOffIsTakenFromWhoHasItWhole() {
        var (planner, _) = PlanPlannerTests.connected(3)
        let first = PlanPlannerTests.peerFetches(planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(arriving: [50])), at: .milliseconds(10)))
        _ = planner.handle(.peerDelta(SwarmPeer(2), SwarmDelta(held: [50])), at: .milliseconds(11))
        let again = PlanPlannerTests.peerFetches(planner.handle(.failed(first[0].fetch, .broken), at: .milliseconds(20)))
        #expect(again.contains { $0.block == 50 && $0.peer == SwarmPeer(2) })
    }

    @Test func `blocks of a file that failed are asked of nobody and do not hold up the others`() {
        var (planner, _) = PlanPlannerTests.connected(2)
        var actions = planner.handle(.peerMap(SwarmPeer(1), PlanPlannerTests.full()), at: .milliseconds(10))
        actions += planner.handle(.abandoned([0..<40]), at: .milliseconds(11))
        var cancelled = Set(actions.compactMap { if case .cancel(let fetch) = $0 { fetch } else { nil } })
        var now: UInt64 = .milliseconds(11)
        var open = PlanPlannerTests.peerFetches(actions).map { ($0.fetch, $0.block) }
        _ = planner.handle(.demand([0..<1]), at: now)
        while now < .seconds(30), !open.isEmpty || planner.heldCount < 60 {
            now += .milliseconds(50)
            var next: [SwarmAction] = planner.handle(.tick, at: now)
            for (fetch, block) in open where !cancelled.contains(fetch) {
                #expect(block >= 40, "block \(block) is asked for")
                next += planner.handle(.received(fetch), at: now)
            }
            next += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(gossip: SwarmGossip(watermark: 100, fullAge: 0))), at: now)
            cancelled.formUnion(next.compactMap { if case .cancel(let fetch) = $0 { fetch } else { nil } })
            open = PlanPlannerTests.peerFetches(next).map { ($0.fetch, $0.block) }
            #expect(PlanPlannerTests.storeBlocks(next).allSatisfy { $0 >= 40 })
        }
        #expect(planner.heldCount == 60)
    }

    @Test func `blocks that were abandoned and are wanted after all are fetched`() {
        var (planner, _) = PlanPlannerTests.connected(2)
        _ = planner.handle(.abandoned([0..<100]), at: .milliseconds(9))
        var actions = planner.handle(.peerMap(SwarmPeer(1), PlanPlannerTests.full()), at: .milliseconds(10))
        #expect(PlanPlannerTests.peerFetches(actions).isEmpty)
        _ = planner.handle(.held([0..<10]), at: .milliseconds(11))
        actions = planner.handle(.resumed([5..<30]), at: .milliseconds(12))
        var now: UInt64 = .milliseconds(12)
        var fetched: Set<Int> = []
        while now < .seconds(30), planner.heldCount < 30 {
            let open = PlanPlannerTests.peerFetches(actions)
            now += .milliseconds(50)
            actions = planner.handle(.tick, at: now)
            for (fetch, block) in open.map({ ($0.fetch, $0.block) }) {
                fetched.insert(block)
                actions += planner.handle(.received(fetch), at: now)
            }
            planner.checkInvariants()
        }
        #expect(fetched == Set(10..<30), "what is held is not asked for, nor what is abandoned")
    }

    @Test func aPeerThatWasCutOffIsNotTakenBackAtOnce() {
        var (planner, _) = PlanPlannerTests.connected(3)
        let first = planner.handle(.peerMap(SwarmPeer(1), PlanPlannerTests.full()), at: .milliseconds(1))
        let fetch = PlanPlannerTests.peerFetches(first)[0].fetch
        #expect(planner.handle(.failed(fetch, .corrupt), at: .milliseconds(5)).contains(.disconnect(SwarmPeer(1))))
        #expect(planner.handle(.connected(SwarmPeer(1)), at: .seconds(9)).contains(.disconnect(SwarmPeer(1))))
        #expect(planner.handle(.connected(SwarmPeer(1)), at: .seconds(700)).contains(.sendMap(to: SwarmPeer(1))))
    }

    @Test func newsOfASeederKeepsNodesThatItDoesNotTalkToFromTheStore() {
        var (planner, _) = PlanPlannerTests.connected(4, blocks: 100) { $0.fullMesh = 1 }
        var actions = planner.handle(.peerDelta(SwarmPeer(2), SwarmDelta(gossip: SwarmGossip(watermark: 100, fullAge: 2))), at: .milliseconds(3))
        for tenth in 1..<70 {
            let now = UInt64(tenth) * .milliseconds(100)
            actions += planner.handle(.peerDelta(SwarmPeer(2), SwarmDelta(gossip: SwarmGossip(watermark: 100, fullAge: 2))), at: now)
            actions += planner.handle(.tick, at: now)
        }
        let reads = PlanPlannerTests.storeBlocks(actions)
        #expect(reads.isEmpty)
    }

    @Test func theWindowDoesNotWaitForASlowOwner() {
        let members = Self.members(2)
        var (planner, first) = PlanPlannerTests.connected(2)
        let own = (0..<100).filter { members.owner(of: $0) == PlanPlannerTests.me }
        var read = Set(PlanPlannerTests.storeBlocks(first))
        var actions = first
        var now: UInt64 = .milliseconds(300)
        // The other owner reads nothing, but lives.
        while now < .seconds(3) {
            let arrived = actions.compactMap { if case .fetchFromStore(let fetch, _, _) = $0 { fetch } else { nil } }
            actions = []
            now += .milliseconds(50)
            for fetch in arrived { actions += planner.handle(.received(fetch), at: now) }
            actions += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta()), at: now)
            actions += planner.handle(.tick, at: now)
            read.formUnion(PlanPlannerTests.storeBlocks(actions))
        }
        #expect(read.filter { own.contains($0) }.count > 8)
    }
}
