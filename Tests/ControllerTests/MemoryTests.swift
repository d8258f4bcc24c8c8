import Controller
import TestSupport
import Testing

/// What is remembered between two plans has several writers.
@Suite struct MemoryTests {
    private let now = WallTime(seconds: 1_800_000_000)

    @Test func `Each field has a rule for what a plan changed of it`() {
        let fields = Mirror(reflecting: Memory()).children.compactMap(\.label)
        #expect(fields.sorted() == Memory.mergedFields.sorted())
    }

    @Test func `What orders brought while a plan was made stays`() {
        var memory = Memory()
        memory.evictionRefused["node-1"] = .next(after: nil, message: "HTTP 500", now: now)
        let base = memory
        var planned = base
        planned.stalls["node-3"] = StalledStart(
            reason: "Unschedulable", message: "", at: now,
            attempt: Attempt(generation: 1, secretVersion: "", agentInstance: "a"))
        planned.deletionSeenAt = now
        // The plan forgets the node, and its agent refuses once more.
        planned.evictionRefused["node-1"] = nil
        let again = Memory.Refusal.next(after: memory.evictionRefused["node-1"], message: "HTTP 500", now: now)
        memory.evictionRefused["node-1"] = again
        memory.sent["node-2"] = 7
        memory.take(planned, madeFrom: base)
        #expect(memory.sent == ["node-2": 7] && memory.evictionRefused["node-1"] == again)
        #expect(memory.stalls.keys.sorted() == ["node-3"] && memory.deletionSeenAt == now)
    }

    @Test func `A write that fails is told as refused when it has failed three times and for five seconds`() {
        var memory = Memory()
        func ended(_ writes: Memory.Writes, after seconds: Int64) -> Bool { memory.ended(writes, now: now + .seconds(seconds)) }
        #expect(!ended(.failed("down"), after: 0) && !ended(.failed("down"), after: 1) && !ended(.failed("down"), after: 2))
        #expect(memory.refusedWrites == nil)
        #expect(ended(.failed("down"), after: 5))
        #expect(memory.refusedWrites?.message == "down" && memory.refusedWrites?.until == now + .seconds(10))
        // The next try fails too, or is refused outright.
        #expect(ended(.failed("still down"), after: 10) && memory.refusedWrites?.until == now + .seconds(20))
        #expect(ended(.refused("a quota"), after: 20) && memory.refusedWrites?.message == "a quota")
        #expect(ended(.made, after: 40) && memory.refusedWrites == nil && memory.failedWrites == nil)
        #expect(!ended(.made, after: 41) && !ended(.failed("down"), after: 60), "the count begins anew")
        memory = Memory()
        #expect(!ended(.failed("down"), after: 0) && !ended(.failed("down"), after: 60) && ended(.failed("down"), after: 61))
        memory = Memory()
        #expect(!ended(.failed("down"), after: 0) && !ended(.failed("down"), after: 1000) && !ended(.failed("down"), after: 1001))
        #expect(ended(.failed("down"), after: 1005), "one that is long past is none in a row")
    }

    @Test func `The outcome of a request counts for that request alone`() {
        var memory = Memory()
        memory.refresh = Memory.Refresh(text: "first")
        let base = memory
        var planned = base
        planned.refresh = Memory.Refresh(text: "second")
        memory.take(planned, madeFrom: base)
        memory.refreshed("node-1", isDropped: true, request: "first")
        #expect(memory.refresh == Memory.Refresh(text: "second"))
        memory.refreshed("node-1", isDropped: true, request: "second")
        #expect(memory.refresh?.nodes == ["node-1": true])
    }

    @Test(arguments: SeededRandom.seeds(100))
    func `No write is lost, in whatever order plans and others write`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var memory = Memory()
        var truth: [String: Int] = [:]
        var writtenAt: WallTime?
        var seenAt: WallTime?
        for _ in 0..<40 {
            let (base, truthBefore) = (memory, truth)
            var planned = base
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let node = "node-\(Int.random(in: 0..<4, using: &random))"
                let value = random.chance(1, of: 3) ? nil : Int.random(in: 0..<3, using: &random)
                if random.chance(1, of: 2) {
                    planned.sent[node] = value
                } else {
                    memory.sent[node] = value
                    truth[node] = value
                }
            }
            if random.chance(1, of: 2) {
                writtenAt = now + .seconds(Int64.random(in: 0..<100, using: &random))
                memory.statusWrittenAt = writtenAt
            }
            if random.chance(1, of: 2) {
                seenAt = now + .seconds(Int64.random(in: 0..<100, using: &random))
                planned.deletionSeenAt = seenAt
            }
            for node in (0..<4).map({ "node-\($0)" })
            where planned.sent[node] != truthBefore[node] && truth[node] == truthBefore[node] {
                truth[node] = planned.sent[node]
            }
            memory.take(planned, madeFrom: base)
            #expect(memory.sent == truth, "seed \(seed)")
            #expect(memory.statusWrittenAt == writtenAt && memory.deletionSeenAt == seenAt, "seed \(seed)")
        }
    }
}
