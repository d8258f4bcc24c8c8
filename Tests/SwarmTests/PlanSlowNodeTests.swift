import SwarmPlan
import Testing

/// A node that finds its own link or uplink slow, and the nodes that read in its stead.
@Suite struct PlanSlowNodeTests {
    private static let blocks = 100
    private static let pace = 10.0 / 1e9

    /// An uplink that serves `atOnce` requests of one receiver for `seconds`, and sends so many blocks a second.
    private func uplink(_ atOnce: Int, blocksASecond: Int, seconds: Int, isCounted: Bool = true) -> SwarmUplink {
        var uplink = SwarmUplink()
        let peer = SwarmPeer(1)
        func look(_ now: SwarmInstant) { uplink.look(pace: Self.pace, isCounted: { _ in isCounted }, at: now) }
        for _ in 0..<atOnce { uplink.changed(.sending, to: peer, counts: isCounted) }
        look(0)
        for step in 1...seconds * 10 {
            if blocksASecond > 0, step % max(1, 10 / blocksASecond) == 0 {
                uplink.changed(.sent, to: peer, counts: isCounted)
                uplink.changed(.sending, to: peer, counts: isCounted)
            }
            look(.milliseconds(100) * UInt64(step))
            uplink.checkInvariants()
        }
        return uplink
    }

    @Test func `an uplink is slow that sends much less than its receivers could take`() {
        #expect(!uplink(6, blocksASecond: 5, seconds: 20).isSlow)
        #expect(uplink(6, blocksASecond: 1, seconds: 20).isSlow)
        #expect(uplink(6, blocksASecond: 0, seconds: 4).slowness == 16)
        // Ten fetches share the receiver's link, so one of them is not expected to fill this uplink.
        #expect(!uplink(1, blocksASecond: 1, seconds: 30).isSlow)
    }

    @Test func `receivers with slow links do not make an uplink look slow`() {
        #expect(!uplink(6, blocksASecond: 0, seconds: 30, isCounted: false).isSlow)
    }

    @Test func `requests that wait for bytes do not make an uplink look slow, and a slow one is tried again`() {
        var uplink = uplink(6, blocksASecond: 0, seconds: 4)
        for _ in 0..<6 { uplink.changed(.resting, to: SwarmPeer(1), counts: true) }
        // More changes than there were requests: a peer's numbers are not trusted to match.
        uplink.changed(.resting, to: SwarmPeer(1), counts: true)
        uplink.checkInvariants()
        for second in 5...40 as ClosedRange<UInt64> {
            uplink.look(pace: Self.pace, isCounted: { _ in true }, at: .seconds(second))
        }
        #expect(!uplink.isSlow)
    }

    @Test func `a pace is measured over many blocks, and the best one counts`() {
        var pace = SwarmPace()
        pace.counts(0, at: 0)
        pace.counts(15, at: .seconds(3))
        #expect(pace.best == 0, "ten fetches may end at once")
        pace.counts(40, at: .seconds(4))
        #expect(abs(pace.best - 10 / 1e9) < 1e-12)
        pace.counts(41, at: .seconds(60))
        #expect(abs(pace.best - 10 / 1e9) < 1e-12)
        // It lost blocks, so it counts anew.
        pace.counts(3, at: .seconds(61))
        pace.counts(63, at: .seconds(63))
        #expect(abs(pace.best - 30 / 1e9) < 1e-12)
    }

    private func delta(held: Int? = nil, handed: [Int] = [], arrived: [Int] = []) -> SwarmDelta {
        var delta = SwarmDelta(held: arrived)
        delta.heldCount = held
        delta.handed = handed
        return delta
    }

    private func handed(_ actions: [SwarmAction]) -> [SwarmPeer: [Int]] {
        var shares: [SwarmPeer: [Int]] = [:]
        for case .announce(let delta, let peers) in actions where !delta.handed.isEmpty {
            #expect(peers.count == 1)
            shares[peers[0], default: []] += delta.handed
        }
        return shares
    }

    /// A node that gets a block a second while its three neighbours get ten, and what it does meanwhile.
    private func slowNode(
        older: [SwarmPeer] = []
    ) -> (planner: SwarmPlanner, actions: [SwarmAction], now: SwarmInstant) {
        var (planner, actions) = PlanPlannerTests.connected(4, blocks: Self.blocks)
        for peer in older { actions += planner.handle(.takesNoTurns(peer), at: 0) }
        var all = actions
        var now: SwarmInstant = 0
        for step in 1...60 {
            now = .milliseconds(100) * UInt64(step)
            actions = []
            for peer in 1..<4 {
                actions += planner.handle(.peerDelta(SwarmPeer(peer), delta(held: min(step, Self.blocks - 1))), at: now - .milliseconds(50))
            }
            if step % 10 == 0 {
                let fetch = all.compactMap { if case .fetchFromStore(let fetch, _, _) = $0 { fetch } else { nil } }
                if let first = fetch.dropFirst(step / 10 - 1).first { actions += planner.handle(.received(first), at: now) }
            }
            actions += planner.handle(.tick, at: now)
            planner.checkInvariants()
            all += actions
        }
        return (planner, all, now)
    }

    @Test func `a node with a slow link hands its turns over to quick neighbours, each the same number`() {
        var (planner, actions, now) = slowNode()
        let shares = handed(actions)
        #expect(Set(shares.keys) == [SwarmPeer(1), SwarmPeer(2), SwarmPeer(3)])
        let members = PlanPlannerTests.members(4, blocks: Self.blocks)
        for block in shares.values.joined() { #expect(members.owner(of: block) == PlanPlannerTests.me) }
        #expect((shares.values.map(\.count).max() ?? 0) - (shares.values.map(\.count).min() ?? 0) <= 1)
        let over = Set(shares.values.joined())
        #expect(over.count == shares.values.joined().count, "each block once")
        // A neighbour that dies gives its share back, and the two others get it.
        let back = handed(planner.handle(.disconnected(SwarmPeer(1)), at: now + 1) + planner.handle(.tick, at: now + .milliseconds(150)))
        #expect(Set(back.values.joined()).isSuperset(of: shares[SwarmPeer(1)] ?? []) && back[SwarmPeer(1)] == nil)
        planner.checkInvariants()
    }

    @Test func `older agents, which know no such message, are handed no turns`() {
        #expect(Set(handed(slowNode(older: [SwarmPeer(2)]).actions).keys) == [SwarmPeer(1), SwarmPeer(3)])
        #expect(handed(slowNode(older: [SwarmPeer(1), SwarmPeer(2), SwarmPeer(3)]).actions).isEmpty)
    }

    @Test func `a node reads what a slow one handed over, in the common order, and again what only that one holds`() throws {
        var (planner, actions) = PlanPlannerTests.connected(4, blocks: Self.blocks)
        actions += planner.handle(.tick, at: .milliseconds(400))
        let members = PlanPlannerTests.members(4, blocks: Self.blocks)
        let slow = SwarmPeer(2)
        let its = (0..<Self.blocks).filter { members.owner(of: $0) == slow }
        let (held, unread) = (its[0], its[1])
        actions = planner.handle(.peerDelta(slow, delta(arrived: [held])), at: .milliseconds(410))
        let fetch = try #require(PlanPlannerTests.peerFetches(actions).first { $0.block == held })
        actions = planner.handle(.peerDelta(slow, delta(handed: [held, unread, its[its.count - 1]])), at: .milliseconds(420))
        #expect(actions.contains(.cancel(fetch.fetch)))
        let reads = actions.compactMap { action -> Int? in
            if case .fetchFromStore(_, let block, .handedOver) = action { block } else { nil }
        }
        #expect(reads.contains(held) && !reads.contains(its[its.count - 1]), "the last one is far from the window")
        planner.checkInvariants()
        // What others hold too is left where it is.
        actions = planner.handle(.peerDelta(SwarmPeer(1), delta(arrived: [its[2]])), at: .milliseconds(430))
        actions += planner.handle(.peerDelta(slow, delta(handed: [its[2]])), at: .milliseconds(440))
        #expect(!PlanPlannerTests.storeBlocks(actions).contains(its[2]))
        planner.checkInvariants()
    }
}
