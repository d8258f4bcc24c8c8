import Testing
import Transfer

@Suite struct ConcurrencyControllerTests {
    /// Runs the controller against a link model: what throughput `limit` transfers get, in bytes per second.
    func settle(_ controller: inout ConcurrencyController, from start: ContinuousClock.Instant, seconds: Int, rate: (Int) -> Double) {
        var bytes = 0.0
        for step in 1...(seconds * 10) {
            bytes += rate(controller.limit) / 10
            controller.tick(totalBytes: Int64(bytes), inFlight: controller.limit, now: start + .milliseconds(100 * step))
        }
    }

    @Test func aFullLinkKeepsTheFewTransfersThatFillIt() {
        let start = ContinuousClock.now
        var controller = ConcurrencyController(initial: 8, maximum: 128, now: start)
        settle(&controller, from: start, seconds: 5) { _ in 12.5e6 }
        #expect(controller.limit == 8)
    }

    @Test func limitedConnectionsAreMultipliedUntilTheLinkIsFull() {
        let start = ContinuousClock.now
        var controller = ConcurrencyController(initial: 8, maximum: 128, now: start)
        settle(&controller, from: start, seconds: 7) { min(5e9, Double($0) * 80e6) }
        #expect(controller.limit >= 60)
        #expect(controller.limit <= 128)
    }

    @Test func theMaximumIsNeverExceeded() {
        let start = ContinuousClock.now
        var controller = ConcurrencyController(initial: 8, maximum: 20, now: start)
        settle(&controller, from: start, seconds: 20) { Double($0) * 80e6 }
        #expect(controller.limit == 20)
    }

    @Test func throttlingHalvesDownToTheMinimum() {
        let start = ContinuousClock.now
        var controller = ConcurrencyController(initial: 16, minimum: 2, maximum: 64, now: start)
        controller.throttled(now: start)
        #expect(controller.limit == 8)
        for _ in 0..<10 { controller.throttled(now: start) }
        #expect(controller.limit == 2)
    }

    @Test func aWindowWithTooLittleToDoTeachesNothing() {
        let start = ContinuousClock.now
        var controller = ConcurrencyController(initial: 8, maximum: 128, now: start)
        for step in 1...100 {
            controller.tick(totalBytes: Int64(step) * 1_000, inFlight: 3, now: start + .milliseconds(100 * step))
        }
        #expect(controller.limit == 8)
    }
}

@Suite struct SlowTransferPolicyTests {
    let policy = SlowTransferPolicy()

    @Test func aTransferFarBelowTheMedianIsRestartedAfterItsGrace() {
        #expect(!policy.shouldRestart(bytesPerSecond: 0, medianBytesPerSecond: 1e6, age: .seconds(1), restarts: 0))
        #expect(policy.shouldRestart(bytesPerSecond: 1e5, medianBytesPerSecond: 1e6, age: .seconds(2), restarts: 0))
        #expect(!policy.shouldRestart(bytesPerSecond: 2e5, medianBytesPerSecond: 1e6, age: .seconds(9), restarts: 0))
    }

    @Test func eachRestartDoublesTheGraceAndFiveAreEnough() {
        #expect(!policy.shouldRestart(bytesPerSecond: 0, medianBytesPerSecond: 1e6, age: .seconds(7), restarts: 2))
        #expect(policy.shouldRestart(bytesPerSecond: 0, medianBytesPerSecond: 1e6, age: .seconds(8), restarts: 2))
        #expect(!policy.shouldRestart(bytesPerSecond: 0, medianBytesPerSecond: 1e6, age: .seconds(900), restarts: 5))
    }

    @Test func withoutAMedianNothingIsJudged() {
        #expect(!policy.shouldRestart(bytesPerSecond: 0, medianBytesPerSecond: nil, age: .seconds(900), restarts: 0))
    }
}
