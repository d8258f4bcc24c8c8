import ObjectStore
import TestSupport
import Testing
import Transfer

@Suite struct RetryLedgerTests {
    let start = ContinuousClock.now

    /// Until it is given up, each attempt as late as allowed; how long that took.
    private func exhaust(
        _ ledger: inout RetryLedger<Int>, fault: FetchFault = .broken, asked: Duration? = nil, position: (Int) -> UInt64
    ) -> Duration? {
        var now = start
        for attempt in 0..<100_000 {
            let verdict = ledger.failed(
                7, position: position(attempt), fault: fault, asked: asked, now: now, draw: 0.9)
            guard case .retry(let delay) = verdict else { return start.duration(to: now) }
            now += max(delay, .milliseconds(10))
            if start.duration(to: now) > .seconds(3600) { return nil }
        }
        return nil
    }

    @Test func `what brings no new byte is given up within a minute`() throws {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        let ended = exhaust(&ledger) { _ in 4096 }
        let took = try #require(ended)
        #expect(took > .seconds(30) && took < .seconds(60))
    }

    @Test func `a server that always answers wrongly is given up within seconds, after several attempts`() throws {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        let ended = exhaust(&ledger, fault: .wrongAnswer) { _ in 0 }
        let took = try #require(ended)
        #expect(took > .seconds(3) && took < .seconds(8))
    }

    @Test func `bytes that came before are no progress, also when the unit is begun anew`() throws {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        // Each other attempt begins at the unit's first byte and comes as far as the one before.
        let ended = exhaust(&ledger) { $0 % 2 == 0 ? 1 << 20 : 0 }
        let took = try #require(ended)
        #expect(took < .seconds(60))
    }

    @Test func `a store that always resets after some new bytes is gone on with`() {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        let ended = exhaust(&ledger) { UInt64($0) * 64 << 10 }
        #expect(ended == nil)
    }

    @Test func `a byte for each connection is no progress`() throws {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        let ended = exhaust(&ledger) { UInt64($0) }
        let took = try #require(ended)
        #expect(took < .seconds(60))
    }

    @Test func `a store that is away is waited for until its deadline`() throws {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        let ended = exhaust(&ledger, fault: .unavailable) { _ in 0 }
        let took = try #require(ended)
        #expect(took > .seconds(200) && took <= .seconds(240))
    }

    @Test func `the wait that the store asks for is honoured within the budget and refused beyond`() {
        var ledger = RetryLedger<Int>(storeBudget: .seconds(240))
        let first = ledger.failed(1, position: 0, fault: .unavailable, asked: .seconds(30), now: start, draw: 0)
        #expect(first == .retry(after: .seconds(30)))
        let second = ledger.failed(2, position: 0, fault: .unavailable, asked: .seconds(3600), now: start, draw: 0)
        #expect(second == .exhausted(attempts: 1, elapsed: .zero))
    }

    @Test(arguments: [
        (StoreError.Kind.objectChanged, FetchFault.lostFile), (.noSuchKey, .lostFile), (.accessDenied, .lostFile),
        (.expiredToken, .lostSource), (.tls, .lostSource), (.noSuchBucket, .lostSource), (.server, .broken),
        (.malformedAnswer, .wrongAnswer), (.stalled, .broken), (.connectionLost, .broken), (.throttled, .unavailable),
        (.connectionRefused, .unavailable), (.nameResolution, .unavailable),
    ])
    func `each kind of error has its fault`(kind: StoreError.Kind, fault: FetchFault) {
        #expect(FetchFault(StoreError(kind, detail: "x")) == fault)
    }
}
