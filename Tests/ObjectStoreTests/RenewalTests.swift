import ObjectStore
import Testing

/// ``RenewalMachine`` alone, on a clock of the test.
@Suite struct RenewalTests {
    private let role = Principal(.ramRole, name: "acs:ram::1:role/models")

    private func keys(_ id: String = "a", until end: Int64?) -> StoreCredentials {
        StoreCredentials(keyID: id, secret: "s", token: "t", expiration: end)
    }

    private func problem(_ kind: CredentialsProblem.Kind = .unavailable) -> CredentialsProblem {
        CredentialsProblem(kind, role, "no", remedy: "do")
    }

    /// A machine that fetched `credentials` at 0.
    private func holding(_ credentials: StoreCredentials?) -> RenewalMachine {
        var machine = RenewalMachine()
        _ = machine.asked(now: 0)
        machine.fetched(credentials, now: 0, draw: 0)
        return machine
    }

    @Test func `the first who asks starts a fetch and everybody waits for it`() {
        var machine = RenewalMachine()
        let first = machine.asked(now: 0)
        #expect(first.answer == .wait && first.fetches)
        let second = machine.asked(now: 1)
        #expect(second.answer == .wait && !second.fetches)
        machine.fetched(keys(until: 3600), now: 2, draw: 0)
        let third = machine.asked(now: 3)
        #expect(third.answer == .use(keys(until: 3600)) && !third.fetches)
    }

    @Test func `a session of an hour is renewed five minutes before its end, and the old keys serve meanwhile`() {
        var machine = holding(keys(until: 3600))
        #expect(machine.asked(now: 3297).fetches == false)
        let due = machine.asked(now: 3298)
        #expect(due.fetches && due.answer == .use(keys(until: 3600)))
        #expect(machine.asked(now: 3299).fetches == false, "one renewal at a time")
        machine.fetched(keys("b", until: 7000), now: 3300, draw: 0)
        #expect(machine.asked(now: 3301).answer == .use(keys("b", until: 7000)))
    }

    @Test func `a short session is renewed when a quarter of it is left`() {
        var machine = holding(keys(until: 40))
        #expect(machine.asked(now: 28).fetches == false)
        #expect(machine.asked(now: 29).fetches)
    }

    @Test func `nodes that began together renew at different times`() {
        var early = RenewalMachine()
        _ = early.asked(now: 0)
        early.fetched(keys(until: 3600), now: 0, draw: 0.99)
        #expect(early.asked(now: 3225).fetches)
    }

    @Test func `nobody asks, nothing is renewed, and the ended keys are not used`() {
        var machine = holding(keys(until: 3600))
        let late = machine.asked(now: 10_000)
        #expect(late.answer == .wait && late.fetches)
    }

    @Test func `a renewal that fails backs off while the old keys serve, then says why`() {
        var machine = holding(keys(until: 3600))
        #expect(machine.asked(now: 3300).fetches)
        machine.failed(problem(), now: 3301, draw: 0)
        let between = machine.asked(now: 3301)
        #expect(between.answer == .use(keys(until: 3600)) && !between.fetches)
        #expect(machine.asked(now: 3302).fetches, "after a second")
        machine.failed(problem(), now: 3303, draw: 0)
        #expect(machine.asked(now: 3304).fetches == false)
        #expect(machine.asked(now: 3305).fetches, "after two")
        machine.failed(problem(), now: 3597, draw: 0)
        let ended = machine.asked(now: 3598)
        #expect(ended.answer == .refuse(problem(), retryAfter: 3) && !ended.fetches)
        #expect(machine.asked(now: 3601).answer == .wait)
    }

    @Test func `a service that refuses is asked again after half a minute at the soonest`() {
        var machine = RenewalMachine()
        _ = machine.asked(now: 0)
        machine.failed(problem(.refused), now: 1, draw: 0)
        #expect(machine.asked(now: 2).answer == .refuse(problem(.refused), retryAfter: 29))
        #expect(machine.asked(now: 31).fetches)
    }

    @Test func `a newer token is tried at once, whatever was said of the one before`() {
        var machine = RenewalMachine()
        _ = machine.asked(now: 0)
        machine.mayRetry(now: 0)
        machine.failed(problem(.refused), now: 1, draw: 0)
        #expect(machine.asked(now: 2).answer == .refuse(problem(.refused), retryAfter: 29))
        machine.mayRetry(now: 2)
        let again = machine.asked(now: 2)
        #expect(again.answer == .wait && again.fetches)
        machine.fetched(keys(until: 3600), now: 3, draw: 0)
        machine.mayRetry(now: 4)
        #expect(machine.asked(now: 4).answer == .use(keys(until: 3600)), "nothing has failed")
    }

    @Test func `back-off is bounded by a minute and a half`() {
        var machine = RenewalMachine()
        var now: Int64 = 0
        for _ in 0..<100 {
            let asked = machine.asked(now: now)
            #expect(asked.fetches)
            machine.failed(problem(), now: now, draw: 1)
            now += 91
        }
    }

    @Test func `keys that the store refuses before their end are fetched anew`() {
        var machine = holding(keys(until: 3600))
        let refused = machine.refused(keys(until: 3600), now: 100)
        #expect(refused?.answer == .wait && refused?.fetches == true)
        machine.fetched(keys("b", until: 3700), now: 101, draw: 0)
        #expect(machine.asked(now: 102).answer == .use(keys("b", until: 3700)))
        // Another request was signed with the old ones.
        #expect(machine.refused(keys(until: 3600), now: 102)?.answer == .use(keys("b", until: 3700)))
    }

    @Test func `fresh keys that the store refuses are not fetched again`() {
        var machine = holding(keys(until: 3600))
        #expect(machine.refused(keys(until: 3600), now: 5) == nil)
        #expect(machine.asked(now: 6).fetches == false)
    }

    @Test func `keys that the store refused do not come back when their renewal fails`() {
        var machine = holding(keys(until: 3600))
        _ = machine.refused(keys(until: 3600), now: 100)
        machine.failed(problem(.refused), now: 101, draw: 0)
        #expect(machine.asked(now: 102).answer == .refuse(problem(.refused), retryAfter: 29))
    }

    @Test func `no role is an answer too, and is asked for again in a quarter of an hour`() {
        var machine = holding(nil)
        #expect(machine.asked(now: 100).answer == .use(nil))
        let later = machine.asked(now: 900)
        #expect(later.answer == .use(nil) && later.fetches)
    }
}
