import Admission
import TestSupport
import Testing

@Suite struct GrantQueueTests {
    @Test func `grants come in the order of asking, so a large request is not passed over`() {
        var queue = GrantQueue(budgetBytes: 10, mostWaiting: 3)
        #expect(queue.asked(for: 6, 1) == .granted)
        #expect(queue.asked(for: 8, 2) == .waits)
        #expect(queue.asked(for: 1, 3) == .waits, "four are free, but another asked first")
        #expect(queue.asked(for: 11, 4) == .refused, "more than there is")
        #expect(queue.asked(for: 1, 5) == .waits)
        #expect(queue.asked(for: 1, 6) == .refused, "too many wait")
        #expect(queue.returned(6) == [2, 3, 5])
        #expect(queue.freeBytes == 0)
    }

    @Test func `a request that gives up makes way for those behind it`() {
        var queue = GrantQueue(budgetBytes: 10, mostWaiting: 3)
        _ = queue.asked(for: 6, 1)
        _ = queue.asked(for: 8, 2)
        _ = queue.asked(for: 4, 3)
        #expect(queue.gaveUp(2) == [3])
        #expect(queue.gaveUp(2) == nil)
        #expect(queue.gaveUp(3) == nil, "it was granted")
    }

    @Test(arguments: SeededRandom.seeds(20))
    func `no more than the budget is ever granted`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var queue = GrantQueue(budgetBytes: 100, mostWaiting: 8)
        var granted: [UInt64: Int] = [:], waiting: [UInt64: Int] = [:]
        for ticket in 1...2000 as ClosedRange<UInt64> {
            if random.chance(1, of: 2) {
                let bytes = Int.random(in: 0...120, using: &random)
                switch queue.asked(for: bytes, ticket) {
                case .granted: granted[ticket] = bytes
                case .waits: waiting[ticket] = bytes
                case .refused: #expect(bytes > 100 || waiting.count == 8, "seed \(seed)")
                }
            } else if random.chance(1, of: 4), let one = waiting.keys.sorted().randomElement(using: &random) {
                waiting[one] = nil
                for next in queue.gaveUp(one) ?? [] { granted[next] = waiting.removeValue(forKey: next) }
            } else if let one = granted.keys.sorted().randomElement(using: &random), let bytes = granted.removeValue(forKey: one) {
                for next in queue.returned(bytes) { granted[next] = waiting.removeValue(forKey: next) }
            }
            #expect(granted.values.reduce(0, +) + queue.freeBytes == 100, "seed \(seed)")
            #expect(queue.waitingCount == waiting.count, "seed \(seed)")
        }
    }

    @Test func `a budget answers those who wait when bytes come back or patience ends`() async {
        let budget = MemoryBudget(bytes: 10, mostWaiting: 4, patience: .milliseconds(50))
        #expect(await budget.take(10))
        #expect(await budget.take(1) == false)
        budget.giveBack(10)
        #expect(await budget.take(10))
        let patient = MemoryBudget(bytes: 10, mostWaiting: 4, patience: .seconds(60))
        #expect(await patient.take(10))
        async let waits = patient.take(4)
        patient.giveBack(10)
        #expect(await waits)
        #expect(await patient.take(6))
        let cancelled = Task { await patient.take(1) }
        cancelled.cancel()
        #expect(await cancelled.value == false)
    }
}
