import AgentAPI
import Controller
import CRD
import TestSupport
import Testing

/// Orders to agents that answer their reports and leave orders unanswered.
@Suite struct OrderTests {
    private func order(_ uid: Int, _ node: String) -> Order { Order(uid: "uid-\(uid)", node: node, kind: .evict(force: false)) }

    private func begin(_ book: inout OrderBook, silent: Set<String> = []) -> [Order] {
        var begun: [Order] = []
        while let next = book.next(isSilent: { silent.contains($0) }) { begun.append(next) }
        return begun
    }

    @Test func `A node whose orders do not end leaves places to the others`() {
        var book = OrderBook()
        for uid in 0..<500 { _ = book.add(order(uid, "sick")) }
        let sick = begin(&book)
        #expect(sick.count == OrderBook.widthOfNode)
        _ = book.add(order(1000, "well"))
        let well = begin(&book)
        #expect(well.map(\.node) == ["well"])
    }

    @Test func `However many nodes are silent, they have a few places together`() {
        var book = OrderBook()
        let silent = Set((0..<1000).map { "sick-\($0)" })
        for node in silent { for uid in 0..<3 { _ = book.add(order(uid, node)) } }
        let trials = begin(&book, silent: silent)
        #expect(trials.count == OrderBook.widthOfSilent)
        #expect(Set(trials.map(\.node)).count == trials.count, "one a node")
        _ = book.add(order(7, "well"))
        let well = begin(&book, silent: silent)
        #expect(well.map(\.node) == ["well"])
        // The end of a trial gives its place to another node.
        let (wasTrial, dropped) = book.ended(trials[0], isAnswered: false)
        #expect(wasTrial && dropped.count == 2 && dropped.allSatisfy { $0.node == trials[0].node })
        let next = begin(&book, silent: silent)
        #expect(next.count == 1)
    }

    @Test func `An order that is not answered takes those that wait for its node with it`() {
        var book = OrderBook()
        for uid in 0..<10 { _ = book.add(order(uid, "sick")) }
        let begun = begin(&book)
        let again = [book.add(order(0, "sick")), book.add(order(9, "sick"))]
        #expect(again == [false, false], "one about a ModelCache at a time")
        let (wasTrial, dropped) = book.ended(begun[0], isAnswered: false)
        #expect(!wasTrial && dropped.count == 10 - begun.count)
        #expect(book.nodes(uid: "uid-0").isEmpty && book.nodes(uid: "uid-9").isEmpty && book.nodes(uid: "uid-1") == ["sick"])
        // No trial beside those that are under way still.
        _ = book.add(order(0, "sick"))
        let beside = begin(&book, silent: ["sick"])
        #expect(beside.isEmpty)
        for other in begun.dropFirst() { _ = book.ended(other, isAnswered: false) }
        // Dropped with the first of them.
        _ = book.add(order(0, "sick"))
        let trial = begin(&book, silent: ["sick"])
        #expect(trial.count == 1)
    }

    @Test func `Every order begins once and ends, whatever the order of events`() {
        for seed in SeededRandom.seeds(50) {
            var random = SeededRandom(seed: seed)
            var book = OrderBook()
            var silent: Set<String> = []
            var running: [Order] = []
            for _ in 0..<400 {
                let node = "node-\(Int.random(in: 0..<6, using: &random))"
                _ = book.add(order(Int.random(in: 0..<20, using: &random), node))
                if random.chance(1, of: 8) { silent.formSymmetricDifference([node]) }
                if let next = book.next(isSilent: { silent.contains($0) }) { running.append(next) }
                if random.chance(1, of: 3), !running.isEmpty {
                    let ended = running.remove(at: Int.random(in: running.indices, using: &random))
                    _ = book.ended(ended, isAnswered: random.chance(1, of: 2))
                }
                let most = Dictionary(grouping: running, by: \.node).values.map(\.count).max() ?? 0
                #expect(most <= OrderBook.widthOfNode, "seed \(seed)")
            }
            while let next = book.next(isSilent: { _ in false }) ?? running.popLast() {
                _ = book.ended(next, isAnswered: true)
                running.removeAll { $0.uid == next.uid && $0.node == next.node }
            }
            #expect((0..<20).allSatisfy { book.nodes(uid: "uid-\($0)").isEmpty }, "seed \(seed)")
        }
    }

    @Test func `An agent that leaves orders unanswered is told, and asked less and less often`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.agents["node-2"]?.answersOrders = false
        world.run(seconds: 100)
        #expect(world.holds("node-1"))
        #expect(world.condition(.degraded)?.reason == "NodesFailed")
        #expect(world.condition(.degraded)?.message.contains("node-2: no answer in time") == true)
        let (lost, transitions) = (world.ordersLost, world.condition(.degraded)?.lastTransitionTime)
        // Each is given up after 15 s, and the next comes 5, 10, 20 ... s later.
        #expect(lost == 4)
        world.run(seconds: 1000)
        #expect(world.ordersLost <= lost + 5)
        #expect(world.condition(.degraded)?.lastTransitionTime == transitions, "a try changes no condition")
        world.agents["node-2"]?.answersOrders = true
        world.run(seconds: 310) { $0.isReady }
        #expect(world.isReady)
    }

    @Test func `Another process of an agent is given orders at once`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.agents["node-1"]?.answersOrders = false
        world.run(seconds: 600)
        world.agents["node-1"]?.answersOrders = true
        world.restartAgent("node-1")
        world.ordered = [:]
        world.run(seconds: 10) { $0.isReady }
        #expect(world.isReady)
    }

    @Test func `A deletion waits two minutes for an agent that leaves its eviction unanswered`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.agents["node-2"]?.answersOrders = false
        world.deletedAt = world.now
        world.run(seconds: 60)
        #expect(world.condition(.ready)?.reason == "EvictionRefused")
        #expect(!world.isGone && world.agents["node-1"]?.caches.isEmpty == true)
        world.run(seconds: 90) { $0.isGone }
        #expect(world.isGone && world.events.map(\.reason) == ["CopiesLeft"])
        #expect(world.events.first?.message.contains("node-2: no answer in time") == true)
    }

    @Test func `A deletion waits for the end of an order that may still make a copy`() {
        var world = FakeWorld(nodes: ["node-1"])
        world.agents["node-1"]?.answersOrders = false
        world.run(seconds: 1)
        #expect(world.ordered["node-1"] != nil)
        world.deletedAt = world.now
        world.run(seconds: 10)
        #expect(!world.isGone)
        world.run(seconds: 10) { $0.isGone }
        #expect(world.isGone && world.events.isEmpty)
    }

    @Test func `A person's eviction ends where the agent does not answer`() {
        var world = FakeWorld(nodes: ["node-1", "node-2"])
        world.run { $0.isReady }
        world.agents["node-2"]?.answersOrders = false
        world.eviction = RequestedEviction(node: nil, text: "*@2026-01-01T00:00:00Z")
        world.run(seconds: 30) { $0.eviction == nil && $0.isReady }
        #expect(world.eviction == nil && world.isReady)
        #expect(world.madeJobs.count == 3, "one copy came back")
    }
}
