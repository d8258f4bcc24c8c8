import TestSupport
import Testing
import Transfer

@Suite struct DemandWaitsTests {
    private func shares(of wait: Duration, _ sampled: [DemandWait: Duration]) -> DemandWaits {
        .shares(of: wait, sampled: DemandWaits(sampled), unsampled: .peers, rest: .check)
    }

    @Test func `a wait is cut as the samples are`() {
        #expect(shares(of: .seconds(4), [.store: .seconds(3), .memory: .seconds(1)]) == DemandWaits([.store: .seconds(3), .memory: .seconds(1)]))
        // Looks are not at the moments at which a wait begins and ends.
        #expect(shares(of: .seconds(2), [.store: .seconds(3), .memory: .seconds(1)]) == DemandWaits([.store: .milliseconds(1500), .memory: .milliseconds(500)]))
    }

    @Test func `time without a missing chunk has its own cause, unless it fell between two looks`() {
        #expect(shares(of: .seconds(5), [.store: .seconds(2)]) == DemandWaits([.store: .seconds(2), .check: .seconds(3)]))
        #expect(shares(of: .milliseconds(40), [:]) == DemandWaits([.peers: .milliseconds(40)]))
        #expect(shares(of: .seconds(3), [:]) == DemandWaits([.check: .seconds(3)]))
        #expect(shares(of: .zero, [.store: .seconds(1)]) == DemandWaits())
    }

    @Test(arguments: SeededRandom.seeds(10))
    func `the causes of a wait add up to it`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<1_000 {
            let sampled = Dictionary(
                uniqueKeysWithValues: DemandWait.allCases.filter { _ in Bool.random(using: &random) }
                    .map { ($0, Duration.nanoseconds(Int64.random(in: 1...3_000_000_000, using: &random))) })
            let wait = Duration.nanoseconds(Int64.random(in: 1...9_000_000_000, using: &random))
            let cut = shares(of: wait, sampled)
            #expect(cut.total == wait && DemandWait.allCases.allSatisfy { cut[$0] >= .zero }, "seed \(seed): \(wait) \(sampled)")
        }
    }
}
