import TestSupport
import Testing
import Transfer

/// Rates of a link, looked at every 50 ms as a fill does.
private struct Link {
    var rate = TransferRate()
    var now = ContinuousClock.now
    var bytes = 0.0

    /// `bytesPerSecond` is asked at each look, with the seconds since this part began.
    mutating func run(_ seconds: Double, _ bytesPerSecond: (Double) -> Double) {
        for look in 0..<Int((seconds / 0.05).rounded()) {
            bytes += bytesPerSecond(Double(look) * 0.05) * 0.05
            now += .milliseconds(50)
            rate.sample(bytes: Int64(bytes), now: now)
        }
    }

    var told: Double? { rate.bytesPerSecond(now: now) }

    /// Whether the time that is left would be told right to a tenth.
    func tells(_ bytesPerSecond: Double) -> Bool { told.map { abs(bytesPerSecond / $0 - 1) <= 0.1 } ?? false }
}

@Suite struct TransferRateTests {
    @Test func `a rate is not known before bytes have come for half a second`() {
        var link = Link()
        #expect(link.told == nil)
        link.run(3) { _ in 0 }
        #expect(link.told == nil)
        link.run(0.3) { _ in 1e8 }
        #expect(link.told == nil)
        link.run(0.5) { _ in 1e8 }
        #expect(link.tells(1e8), "\(link.told ?? 0)")
    }

    @Test(arguments: SeededRandom.seeds(10))
    func `a steady link is told to a tenth after five seconds and stays so`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let steady = Double.random(in: 1e6...1e10, using: &random)
        var link = Link()
        link.run(5) { _ in steady * Double.random(in: 0.8...1.2, using: &random) }
        for _ in 0..<200 {
            #expect(link.tells(steady), "seed \(seed): \(link.told ?? 0) for \(steady)")
            link.run(0.25) { _ in steady * Double.random(in: 0.8...1.2, using: &random) }
        }
    }

    @Test func `a link that needs two seconds for its full rate is told to a tenth after five`() {
        var link = Link()
        link.run(5) { 1e8 * min(1, $0 / 2) }
        #expect(link.tells(1e8), "\(link.told ?? 0)")
    }

    @Test func `chunks that come at once make a steady rate`() {
        var link = Link()
        link.run(30) { Int($0 * 20) % 10 == 0 ? 1e9 : 0 }
        #expect(link.tells(1e8), "\(link.told ?? 0)")
    }

    @Test func `a stall keeps the rate for five seconds, then it is not known`() {
        var link = Link()
        link.run(20) { _ in 1e8 }
        link.run(4.9) { _ in 0 }
        #expect(link.tells(1e8))
        link.run(0.2) { _ in 0 }
        #expect(link.told == nil)
        link.run(5) { _ in 2e7 }
        #expect(link.tells(2e7), "\(link.told ?? 0)")
    }

    @Test func `a short stall that is over changes the rate by its share of the window`() {
        var link = Link()
        link.run(20) { _ in 1e8 }
        link.run(1) { _ in 0 }
        link.run(1) { _ in 1e8 }
        #expect((link.told ?? 0) > 0.85e8, "\(link.told ?? 0)")
    }

    @Test func `a link that is throttled, or freed, is told to a tenth five seconds later`() {
        for (before, after) in [(1e9, 1e8), (1e8, 1e9), (1e8, 4e7)] {
            var link = Link()
            link.run(60) { _ in before }
            link.run(5) { _ in after }
            #expect(link.tells(after), "\(before) to \(after): \(link.told ?? 0)")
        }
    }

    @Test func `a small change is told to a tenth when the window has passed`() {
        var link = Link()
        link.run(60) { _ in 1e8 }
        link.run(10) { _ in 6e7 }
        #expect(link.tells(6e7), "\(link.told ?? 0)")
    }
}
