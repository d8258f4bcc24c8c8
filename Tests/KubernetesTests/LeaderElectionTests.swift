import Foundation
import Kubernetes
import Testing
import TestSupport

private let start = ContinuousClock.now
private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }
/// A wall clock that is wrong by years: nothing may depend on it.
private let date = Date(timeIntervalSince1970: 86_400)

private func election(_ identity: String = "me") -> LeaderElection {
    LeaderElection(namespace: "ns", name: "lease", options: LeaderElectionOptions(identity: identity))
}

private func lease(_ holder: String?, version: String, renewed: Double = 0, duration: Int32 = 15, transitions: Int32 = 3) -> Lease {
    Lease(
        metadata: ObjectMeta(name: "lease", namespace: "ns", resourceVersion: version, labels: ["kept": "yes"]),
        spec: LeaseSpec(
            holderIdentity: holder, leaseDurationSeconds: duration, acquireTime: MicroTime(Date(timeIntervalSince1970: 1000)),
            renewTime: MicroTime(Date(timeIntervalSince1970: 1000 + renewed)), leaseTransitions: transitions))
}

/// What the server answers to a write.
private func stored(_ step: LeaderElection.Step, version: String) throws -> Lease {
    switch step {
    case .create(var lease), .replace(var lease):
        lease.metadata.resourceVersion = version
        return lease
    default:
        throw Unexpected(step: step)
    }
}

private struct Unexpected: Error { let step: LeaderElection.Step }

extension LeaderElection {
    /// Leads since `seconds`, by creating the lease.
    fileprivate mutating func win(_ seconds: Double) throws {
        #expect(begin(now: at(seconds), date: date) == .read)
        let create = read(nil, now: at(seconds), date: date)
        #expect(wrote(try stored(create, version: "1"), now: at(seconds)) == .wait(.seconds(2)))
        #expect(isLeader)
    }
}

@Suite struct LeaderElectionTests {
    @Test func withoutALeaseOneIsMade() throws {
        var me = election()
        #expect(me.begin(now: at(0), date: date) == .read)
        guard case .create(let lease) = me.read(nil, now: at(0), date: date) else {
            Issue.record("no creation")
            return
        }
        #expect(lease.spec?.holderIdentity == "me")
        #expect(lease.spec?.leaseDurationSeconds == 15)
        #expect(lease.spec?.leaseTransitions == 0)
        #expect(!me.isLeader, "not before the server said yes")
    }

    @Test func anotherLeaseIsWaitedForByOurOwnClockAlone() throws {
        var me = election()
        // Its renewTime is decades from the local date: that must not matter.
        _ = me.begin(now: at(0), date: date)
        #expect(me.read(lease("other", version: "1"), now: at(0), date: date) == .wait(.seconds(2)))
        _ = me.begin(now: at(14), date: date)
        #expect(me.read(lease("other", version: "2", renewed: 9), now: at(14), date: date) == .wait(.seconds(2)), "renewed: the wait starts anew")
        _ = me.begin(now: at(28), date: date)
        #expect(me.read(lease("other", version: "2", renewed: 9), now: at(28), date: date) == .wait(.seconds(1)), "until it runs out, not longer")
        _ = me.begin(now: at(29), date: date)
        let take = me.read(lease("other", version: "2", renewed: 9), now: at(29), date: date)
        guard case .replace(let lease) = take else { throw Unexpected(step: take) }
        #expect(lease.spec?.holderIdentity == "me")
        #expect(lease.spec?.leaseTransitions == 4)
        #expect(lease.metadata.resourceVersion == "2")
        #expect(lease.metadata.labels == ["kept": "yes"])
    }

    @Test func theDurationThatTheHolderPromisedCounts() {
        var me = election()
        _ = me.begin(now: at(0), date: date)
        _ = me.read(lease("other", version: "1", duration: 60), now: at(0), date: date)
        _ = me.begin(now: at(59), date: date)
        #expect(me.read(lease("other", version: "1", duration: 60), now: at(59), date: date) == .wait(.seconds(1)))
    }

    @Test func aReleasedLeaseIsTakenAtOnce() {
        for holder in ["", nil] {
            var me = election()
            _ = me.begin(now: at(0), date: date)
            guard case .replace = me.read(lease(holder, version: "1", duration: 1), now: at(0), date: date) else {
                Issue.record("not taken")
                return
            }
        }
    }

    @Test func aLeaderRenewsOnTopOfWhatItWroteWithoutReading() throws {
        var me = election()
        try me.win(0)
        let renewal = me.begin(now: at(2), date: date)
        guard case .replace(let lease) = renewal else { throw Unexpected(step: renewal) }
        #expect(lease.metadata.resourceVersion == "1")
        #expect(lease.spec?.leaseTransitions == 0)
        #expect(me.wrote(try stored(renewal, version: "2"), now: at(2)) == .wait(.seconds(2)))
        #expect(me.deadline == at(12))
    }

    @Test func theDeadlineCountsFromWhenTheRenewalWasSent() throws {
        var me = election()
        try me.win(0)
        let renewal = me.begin(now: at(2), date: date)
        _ = me.wrote(try stored(renewal, version: "2"), now: at(6))
        #expect(me.deadline == at(12))
    }

    @Test func aLeaderThatCannotRenewGivesUpAtItsDeadlineAndNotBefore() throws {
        var me = election()
        try me.win(0)
        _ = me.begin(now: at(2), date: date)
        #expect(me.failed(.other("refused"), now: at(7)) == .wait(.seconds(2)))
        _ = me.begin(now: at(9), date: date)
        #expect(me.failed(.other("refused"), now: at(9.5)) == .wait(.milliseconds(500)))
        let end = me.begin(now: at(10), date: date)
        guard case .lost(let lost) = end else { throw Unexpected(step: end) }
        #expect("\(lost)" == "leader election lost: lease ns/lease: not renewed for 10.0s: refused")
        #expect(!me.isLeader)
    }

    @Test func aConflictIsLookedIntoAtOnceAndAnotherLeaderEndsOurs() throws {
        var me = election()
        try me.win(0)
        _ = me.begin(now: at(2), date: date)
        #expect(me.failed(.conflict, now: at(2)) == .read)
        guard case .lost(let lost) = me.read(lease("other", version: "5"), now: at(2), date: date) else {
            Issue.record("still leads")
            return
        }
        #expect(lost.reason == "other leads")
    }

    @Test func aConflictWithOurOwnLateWriteIsHarmless() throws {
        var me = election()
        try me.win(0)
        _ = me.begin(now: at(2), date: date)
        #expect(me.failed(.other("timeout"), now: at(3)) == .wait(.seconds(2)))
        _ = me.begin(now: at(5), date: date)
        #expect(me.failed(.conflict, now: at(5)) == .read)
        let again = me.read(lease("me", version: "2", renewed: 1), now: at(5), date: date)
        guard case .replace(let write) = again else { throw Unexpected(step: again) }
        #expect(write.metadata.resourceVersion == "2")
        #expect(me.failed(.conflict, now: at(5)) == .wait(.seconds(2)), "no chase without a pause")
        #expect(me.begin(now: at(7), date: date) == .read, "never an unconditional write")
    }

    @Test func aDeletedLeaseEndsTheLeadership() throws {
        var me = election()
        try me.win(0)
        _ = me.begin(now: at(2), date: date)
        _ = me.failed(.conflict, now: at(2))
        guard case .lost = me.read(nil, now: at(2), date: date) else {
            Issue.record("still leads")
            return
        }
    }

    @Test func onlyOurOwnLeaseIsReleased() throws {
        var me = election()
        try me.win(0)
        me.resign()
        #expect(!me.isLeader)
        let released = try #require(me.release(of: lease("me", version: "7"), date: date))
        #expect(released.spec?.holderIdentity == "")
        #expect(released.spec?.leaseDurationSeconds == 1)
        #expect(released.spec?.leaseTransitions == 3)
        #expect(released.metadata.resourceVersion == "7")
        #expect(me.release(of: lease("other", version: "7"), date: date) == nil)
        #expect(me.release(of: nil, date: date) == nil)
    }

    @Test func durationsThatCannotWorkAreNamed() {
        #expect(LeaderElectionOptions().problem == nil)
        #expect(LeaderElectionOptions(leaseDuration: .seconds(10)).problem != nil)
        #expect(LeaderElectionOptions(renewDeadline: .seconds(2)).problem != nil)
        #expect(LeaderElectionOptions(retryPeriod: .zero).problem != nil)
        #expect(LeaderElectionOptions(identity: "").problem != nil)
        #expect(LeaderElectionOptions.uniqueIdentity() != LeaderElectionOptions.uniqueIdentity())
        #expect(LeaderElectionOptions.uniqueIdentity().contains("_"))
    }

    /// Candidates with skewed wall clocks that stall, a server that loses requests and answers: never two leaders.
    @Test func noRandomHistoryHasTwoLeaders() throws {
        var terms = 0
        let seeds = SeededRandom.seeds(200)
        for seed in seeds {
            var world = World(seed: seed)
            for _ in 0..<2000 {
                world.next()
                #expect(world.leaders <= 1, "seed \(seed)")
            }
            terms += world.terms
        }
        // A history may pass without a change of leader, not most of them.
        #expect(terms > 2 * seeds.count, "\(terms) terms")
    }
}

/// Three candidates and a server in simulated time. A request has effect on arrival; its answer comes later or never.
private struct World {
    enum Stage {
        case idle
        case travelling(LeaderElection.Step)
        case answered((inout LeaderElection, ContinuousClock.Instant, Date) -> LeaderElection.Step)
    }

    var random: SeededRandom
    var candidates = (0..<3).map { election("c\($0)") }
    var stages = [Stage](repeating: .idle, count: 3)
    var due = [0.0, 0.5, 1.0]
    var time = 0.0
    var server: Lease?
    var version = 0
    var terms = 0

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    /// Who believes to lead.
    var leaders: Int { candidates.count { $0.deadline.map { at(time) < $0 } ?? false } }

    mutating func next() {
        let me = due.indices.min { due[$0] < due[$1] } ?? 0
        time = due[me]
        let wall = Date(timeIntervalSince1970: 1e9 + time + Double(me) * 10_000)
        switch stages[me] {
        case .idle:
            proceed(me, candidates[me].begin(now: at(time), date: wall))
        case .travelling(let step):
            let isLost = chance(10)
            stages[me] = .answered(isLost || chance(10) ? { me, now, _ in me.failed(.other("lost"), now: now) } : { me, now, date in me.failed(.conflict, now: now) })
            guard !isLost else { break }
            if let answer = serve(step), !chance(10) { stages[me] = .answered(answer) }
            due[me] += delay()
        case .answered(let answer):
            proceed(me, answer(&candidates[me], at(time), wall))
        }
        if chance(200) { due[me] += 40 }
    }

    private mutating func serve(_ step: LeaderElection.Step) -> ((inout LeaderElection, ContinuousClock.Instant, Date) -> LeaderElection.Step)? {
        switch step {
        case .read:
            let seen = server
            return { me, now, date in me.read(seen, now: now, date: date) }
        case .create(let lease) where server == nil, .replace(let lease) where server?.metadata.resourceVersion == lease.metadata.resourceVersion:
            version += 1
            if server?.spec?.holderIdentity != lease.spec?.holderIdentity { terms += 1 }
            var stored = lease
            stored.metadata.resourceVersion = "\(version)"
            server = stored
            return { me, now, _ in me.wrote(stored, now: now) }
        default:
            return { me, now, _ in me.failed(.conflict, now: now) }
        }
    }

    private mutating func proceed(_ me: Int, _ step: LeaderElection.Step) {
        switch step {
        case .wait(let pause):
            stages[me] = .idle
            due[me] += Double(pause.components.seconds) + Double(pause.components.attoseconds) * 1e-18 + 0.01
        case .lost:
            // The process starts again.
            candidates[me] = election("c\(me)-\(time)")
            stages[me] = .idle
            due[me] += 1
        case .read, .create, .replace:
            stages[me] = .travelling(step)
            due[me] += delay()
        }
    }

    private mutating func delay() -> Double { chance(4) ? .random(in: 0..<2.5, using: &random) : 0.001 }
    private mutating func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }
}
