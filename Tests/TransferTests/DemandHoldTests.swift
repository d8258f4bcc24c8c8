import Testing
import Transfer

@Suite struct DemandHoldTests {
    let now = ContinuousClock.now

    /// At 50 MB a second.
    private func known() -> DemandHold {
        var hold = DemandHold(now: now)
        hold.received(totalBytes: 50_000_000, now: now + .seconds(1))
        return hold
    }

    @Test func `prefetch rests while a demand needs the link, then one goes on, then all`() {
        var hold = known()
        let start = now + .seconds(1)
        hold.demanded(bytes: 5_000_000, now: start)
        #expect(hold.extent(isWaiting: true, now: start) == .atMost(0))
        #expect(hold.extent(isWaiting: true, now: start + .milliseconds(100)) == .atMost(0))
        #expect(hold.extent(isWaiting: false, now: start + .milliseconds(110)) == .atMost(1))
        #expect(hold.extent(isWaiting: false, now: start + .milliseconds(190)) == .atMost(1))
        #expect(hold.extent(isWaiting: false, now: start + .milliseconds(210)) == .none)
    }

    @Test func `a demand that the link does not hold up lets prefetch go on`() {
        var hold = known()
        let start = now + .seconds(1)
        hold.demanded(bytes: 5_000_000, now: start)
        #expect(hold.extent(isWaiting: true, now: start + .milliseconds(160)) == .atMost(0))
        #expect(hold.extent(isWaiting: true, now: start + .milliseconds(170)) == .none, "one and a quarter times 100 ms, and 40")
    }

    @Test func `on a fast link with a long way prefetch rests for a small part of the time`() {
        var hold = DemandHold(now: now)
        hold.received(totalBytes: 1_000_000_000, now: now + .seconds(1))
        var held = 0
        for turn in 0..<100 {
            let start = now + .seconds(1) + .milliseconds(30 * turn)
            hold.demanded(bytes: 2 << 20, now: start)
            for step in 0..<30 where hold.extent(isWaiting: true, now: start + .milliseconds(step)) != .none { held += 1 }
        }
        #expect(held < 100 * 30 / 5)
    }

    @Test func `without a known rate half a second, and never more than two`() {
        var hold = DemandHold(now: now)
        hold.demanded(bytes: 1, now: now)
        #expect(hold.extent(isWaiting: true, now: now + .milliseconds(530)) == .atMost(0))
        #expect(hold.extent(isWaiting: true, now: now + .milliseconds(550)) == .none)
        for _ in 0..<10 { hold.demanded(bytes: 1, now: now + .seconds(1)) }
        #expect(hold.extent(isWaiting: true, now: now + .milliseconds(2999)) == .atMost(0))
        #expect(hold.extent(isWaiting: true, now: now + .seconds(3)) == .none)
    }

    /// Demands without a pause that bring a part of the link's rate; the prefetches that go on beside them.
    private func beside(bringing part: Double, seconds: Int = 4) -> [DemandHold.Extent] {
        var hold = known()
        var total = 50_000_000.0
        var found: [DemandHold.Extent] = []
        for step in 1...(20 * seconds) {
            let time = now + .seconds(1) + .milliseconds(50 * step)
            hold.demanded(bytes: 10_000_000, now: time)
            found.append(hold.extent(isWaiting: true, now: time))
            total += 2_500_000 * part
            hold.received(totalBytes: Int64(total), now: time)
        }
        return found
    }

    @Test func `demands that leave the link idle let more and more prefetches go on beside them`() {
        let idle = beside(bringing: 0.2)
        #expect(idle.first == .atMost(0) && idle.last == .atMost(64))
        #expect(idle.contains(.atMost(1)) && idle.contains(.atMost(8)))
        #expect(beside(bringing: 1).allSatisfy { $0 == .atMost(0) })
    }

    @Test func `the best rate is remembered while demands come one by one`() {
        var hold = DemandHold(now: now)
        hold.received(totalBytes: 1_000_000_000, now: now + .seconds(1))
        for second in 2...11 { hold.received(totalBytes: 1_000_000_000, now: now + .seconds(second)) }
        #expect(hold.bytesPerSecond > 800_000_000)
        for second in 12...300 { hold.received(totalBytes: 1_000_000_000, now: now + .seconds(second)) }
        #expect(hold.bytesPerSecond < 20_000_000)
    }
}
