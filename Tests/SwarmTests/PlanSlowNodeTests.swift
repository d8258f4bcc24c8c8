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
    /// - Parameters:
    ///   - offers: whether the neighbours offer their blocks; else the store may be what is slow.
    ///   - uploads: requests of a neighbour that it serves, to no end.
    private func slowNode(
        older: [SwarmPeer] = [], offers: Bool = true, uploads: Int = 0, steps: Int = 60
    ) -> (planner: SwarmPlanner, actions: [SwarmAction], now: SwarmInstant) {
        var (planner, actions) = PlanPlannerTests.connected(4, blocks: Self.blocks)
        for peer in older { actions += planner.handle(.takesNoTurns(peer), at: 0) }
        for _ in 0..<uploads { actions += planner.handle(.upload(.sending, to: SwarmPeer(1), block: 0), at: 0) }
        let members = PlanPlannerTests.members(4, blocks: Self.blocks)
        let theirs = (1..<4).map { peer in (0..<Self.blocks).filter { members.owner(of: $0) == SwarmPeer(peer) } }
        var all = actions
        var now: SwarmInstant = 0
        for step in 1...steps {
            now = .milliseconds(100) * UInt64(step)
            actions = []
            for peer in 1..<4 {
                let arrived = offers ? Array(theirs[peer - 1].dropFirst(step - 1).prefix(1)) : []
                let news = delta(held: min(step, Self.blocks - 1), arrived: arrived)
                actions += planner.handle(.peerDelta(SwarmPeer(peer), news), at: now - .milliseconds(50))
            }
            for fetch in PlanPlannerTests.peerFetches(all) {
                actions += planner.handle(.progress(fetch.fetch, bytes: 100), at: now)
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
        actions += planner.handle(.disconnected(SwarmPeer(1)), at: now + 1)
        let last = planner.handle(.tick, at: now + .milliseconds(150))
        let back = handed(last)
        let unread = Set(shares[SwarmPeer(1)] ?? []).subtracting(PlanPlannerTests.storeBlocks(actions + last))
        #expect(!unread.isEmpty && unread.isSubset(of: back.values.joined()) && back[SwarmPeer(1)] == nil)
        planner.checkInvariants()
    }

    @Test func `a node with a slow store keeps its turns`() {
        #expect(handed(slowNode(offers: false).actions).isEmpty)
    }

    @Test func `a neighbour that connects anew gives its turns back`() {
        var (planner, actions, now) = slowNode()
        let shares = handed(actions)
        actions += planner.handle(.declined(SwarmPeer(1)), at: now + 1)
        actions += planner.handle(.connected(SwarmPeer(1)), at: now + 2)
        let last = planner.handle(.tick, at: now + .milliseconds(150))
        let back = handed(last)
        let unread = Set(shares[SwarmPeer(1)] ?? []).subtracting(PlanPlannerTests.storeBlocks(actions + last))
        #expect(!unread.isEmpty && unread.isSubset(of: back.values.joined()) && back[SwarmPeer(1)] == nil)
        planner.checkInvariants()
    }

    @Test func `with the blocks that it holds and hands over a node says that it holds them`() {
        let (planner, actions, _) = slowNode(uploads: 6, steps: 95)
        var held: Set<Int> = []
        for case .announce(let delta, _) in actions where !delta.handed.isEmpty {
            #expect(Set(delta.held).isSubset(of: delta.handed))
            held.formUnion(delta.held)
        }
        #expect(held.count >= 4 && held.allSatisfy { planner.holds($0) })
    }

    @Test func `turns come back with what was owed, and end with the member that gave or has them`() {
        var turns = SwarmStoreTurns()
        for block in 0..<3 { turns.owes(block) }
        for block in 0..<4 { turns.handOver(block, to: SwarmPeer(1)) }
        turns.passedOn(2)
        #expect(turns.owed.isEmpty)
        let (isFirst, isSecond) = (turns.takeBack(from: SwarmPeer(1)), turns.takeBack(from: SwarmPeer(1)))
        #expect(isFirst && !isSecond && turns.owed == [0, 1] && turns.handedOver.isEmpty)
        turns.handOver(0, to: SwarmPeer(1))
        turns.handOver(1, to: SwarmPeer(2))
        turns.take(7, from: SwarmPeer(1))
        turns.take(8, from: SwarmPeer(2))
        turns.keep([SwarmPeer(2)])
        #expect(turns.taken == [8: SwarmPeer(2)] && turns.handedOver == [1: SwarmPeer(2)] && turns.owed == [0])
        turns.checkInvariants(exists: BlockSet(capacity: 10))
    }

    /// What the planner reads in others' stead until half a second later; all of it comes at once.
    private func readsInTheirStead(_ planner: inout SwarmPlanner, after actions: [SwarmAction], at start: SwarmInstant) -> [Int] {
        var (actions, blocks, now) = (actions, [Int](), start)
        for _ in 0..<50 {
            now += .milliseconds(10)
            var more: [SwarmAction] = []
            for case .fetchFromStore(let fetch, let block, let reason) in actions {
                if reason == .handedOver { blocks.append(block) }
                more += planner.handle(.received(fetch), at: now)
            }
            actions = more + planner.handle(.tick, at: now)
            planner.checkInvariants()
        }
        return blocks
    }

    @Test func `a peer that hands everything over gets twice an even share read`() {
        var (planner, actions) = PlanPlannerTests.connected(10, blocks: 400)
        actions += planner.handle(.peerDelta(SwarmPeer(2), delta(handed: Array(0..<400))), at: 3)
        actions += planner.handle(.peerDelta(SwarmPeer(2), delta(handed: Array(80..<400))), at: 4)
        let reads = readsInTheirStead(&planner, after: actions, at: .milliseconds(300))
        #expect(reads.count > 40 && reads.allSatisfy { $0 < 80 })
    }

    @Test func `the turns of a peer that died are those of the next in line`() {
        for dies in [false, true] {
            var (planner, actions) = PlanPlannerTests.connected(4, blocks: Self.blocks)
            let members = PlanPlannerTests.members(4, blocks: Self.blocks)
            let its = (0..<Self.blocks).filter { members.owner(of: $0) == SwarmPeer(2) }
            actions += planner.handle(.storeThrottled(until: .milliseconds(200)), at: 3)
            actions += planner.handle(.peerDelta(SwarmPeer(2), delta(handed: its)), at: 3)
            if dies { actions += planner.handle(.disconnected(SwarmPeer(2)), at: 4) }
            #expect(readsInTheirStead(&planner, after: actions, at: .milliseconds(300)).isEmpty == dies)
        }
    }

    @Test func `a relay of a slow node's block does not count as another source`() throws {
        var (planner, actions) = PlanPlannerTests.connected(4, blocks: Self.blocks)
        actions += planner.handle(.tick, at: .milliseconds(400))
        let members = PlanPlannerTests.members(4, blocks: Self.blocks)
        let block = try #require((0..<Self.blocks).first { members.owner(of: $0) == SwarmPeer(2) })
        actions = planner.handle(.peerDelta(SwarmPeer(3), SwarmDelta(arriving: [block])), at: .milliseconds(410))
        let relay = try #require(PlanPlannerTests.peerFetches(actions).first { $0.block == block && $0.peer == SwarmPeer(3) })
        actions = planner.handle(.peerDelta(SwarmPeer(2), delta(handed: [block], arrived: [block])), at: .milliseconds(420))
        #expect(actions.contains(.cancel(relay.fetch)) && PlanPlannerTests.storeBlocks(actions).contains(block))
        planner.checkInvariants()
    }

    @Test func `a turn for a block that was given up here counts when the block is wanted again`() throws {
        var (planner, actions) = PlanPlannerTests.connected(4, blocks: Self.blocks)
        let members = PlanPlannerTests.members(4, blocks: Self.blocks)
        let block = try #require((0..<Self.blocks).first { members.owner(of: $0) == SwarmPeer(2) })
        actions = planner.handle(.abandoned([block..<block + 1]), at: 3)
        actions += planner.handle(.peerDelta(SwarmPeer(2), delta(handed: [block])), at: 4)
        actions += planner.handle(.resumed([block..<block + 1]), at: 5)
        #expect(readsInTheirStead(&planner, after: actions, at: .milliseconds(300)) == [block])
    }

    @Test func `a fetch from a slow peer goes on where no other neighbour holds the block`() throws {
        var (planner, actions) = PlanPlannerTests.connected(3, blocks: Self.blocks)
        let members = PlanPlannerTests.members(3, blocks: Self.blocks)
        let block = try #require((0..<Self.blocks).first { members.owner(of: $0) == SwarmPeer(1) })
        actions = planner.handle(.peerDelta(SwarmPeer(1), delta(arrived: [block])), at: .milliseconds(10))
        let fetch = try #require(PlanPlannerTests.peerFetches(actions).first { $0.block == block }).fetch
        var now: SwarmInstant = 0
        for step in 1...20 {
            now = .milliseconds(100) * UInt64(step)
            actions = planner.handle(.progress(fetch, bytes: 100), at: now)
            actions += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(load: 32)), at: now)
            // A relay is no other holder.
            actions += planner.handle(.peerDelta(SwarmPeer(2), SwarmDelta(arriving: [block])), at: now)
            actions += planner.handle(.tick, at: now + 1)
            #expect(!actions.contains(.cancel(fetch)))
        }
        actions = planner.handle(.peerDelta(SwarmPeer(2), delta(arrived: [block])), at: now + 2)
        actions += planner.handle(.tick, at: now + .milliseconds(150))
        #expect(actions.contains(.cancel(fetch)))
        #expect(PlanPlannerTests.peerFetches(actions).contains { $0.block == block && $0.peer == SwarmPeer(2) })
    }

    @Test func `a single neighbour is asked however busy it is`() throws {
        var (planner, actions) = PlanPlannerTests.connected(2, blocks: Self.blocks)
        let members = PlanPlannerTests.members(2, blocks: Self.blocks)
        let block = try #require((0..<Self.blocks).first { members.owner(of: $0) == SwarmPeer(1) })
        actions += planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(load: 50)), at: .milliseconds(100))
        actions += planner.handle(.tick, at: .milliseconds(250))
        actions = planner.handle(.peerDelta(SwarmPeer(1), SwarmDelta(held: [block], load: 50)), at: .milliseconds(260))
        #expect(PlanPlannerTests.peerFetches(actions).contains { $0.block == block })
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
