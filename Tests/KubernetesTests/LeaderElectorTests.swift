import Foundation
import Kubernetes
import Logging
import Synchronization
import Testing
import TestSupport

/// A lease in memory, with versions; it can be away, or hang.
private final class Leases: LeaseStore {
    struct State {
        var lease: Lease?
        var version = 0
        var isAway = false
        var hangs = false
        /// Whom each write named, in order.
        var holders: [String] = []
    }

    let state = Mutex(State())

    private func arrive() async throws {
        if state.withLock({ $0.hangs }) { try await Task.sleep(for: .seconds(1000)) }
        if state.withLock({ $0.isAway }) { throw KubernetesError(.connection("refused"), verb: .get, resource: "leases") }
    }

    private func store(_ lease: Lease, _ state: inout State) -> Lease {
        state.version += 1
        state.holders.append(lease.spec?.holderIdentity ?? "")
        var lease = lease
        lease.metadata.resourceVersion = "\(state.version)"
        state.lease = lease
        return lease
    }

    func read(namespace: String, name: String) async throws -> Lease? {
        try await arrive()
        return state.withLock { $0.lease }
    }

    func create(_ lease: Lease) async throws -> Lease {
        try await arrive()
        return try state.withLock { state in
            guard state.lease == nil else {
                throw KubernetesError(.status(Status(reason: "AlreadyExists", code: 409)), verb: .create, resource: "leases")
            }
            return store(lease, &state)
        }
    }

    func replace(_ lease: Lease) async throws -> Lease {
        try await arrive()
        return try state.withLock { state in
            guard let version = lease.metadata.resourceVersion, version == state.lease?.metadata.resourceVersion else {
                throw KubernetesError(.status(Status(reason: "Conflict", code: 409)), verb: .update, resource: "leases")
            }
            return store(lease, &state)
        }
    }
}

/// Tries often. Its lease outlives any pause of a busy machine: what must not wait for the lease to run out would run into the test's time limit.
private func elector(
    _ identity: String, _ leases: Leases, leaseDuration: Duration = .seconds(90), renewDeadline: Duration = .seconds(60),
    metrics: MetricsRegistry? = nil
) -> LeaderElector {
    LeaderElector(
        store: leases, namespace: "ns", name: "lease",
        options: LeaderElectionOptions(
            identity: identity, leaseDuration: leaseDuration, renewDeadline: renewDeadline, retryPeriod: .milliseconds(100)),
        metrics: metrics, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
}

@Suite(.serialized) struct LeaderElectorTests {
    @Test(.timeLimit(.minutes(1))) func theEndOfTheWorkHandsOverAtOnce() async throws {
        let leases = Leases()
        let first = elector("a", leases)
        let second = elector("b", leases)
        try await first.acquire()
        let waiting = Task { try await second.acquire() }
        try await first.lead { try await Task.sleep(for: .milliseconds(500)) }
        #expect(!first.isLeader)
        try await waiting.value
        let holders = leases.state.withLock { $0.holders }
        #expect(holders.first == "a" && Array(holders.drop { $0 == "a" }.prefix(2)) == ["", "b"], "released, so that nobody waits for it to run out")
        #expect(leases.state.withLock { $0.lease?.spec?.leaseTransitions } == 1)
    }

    @Test(.timeLimit(.minutes(1))) func aKilledLeaderIsFollowedWhenItsLeaseRanOut() async throws {
        let leases = Leases()
        let first = elector("a", leases, leaseDuration: .seconds(1), renewDeadline: .milliseconds(600))
        try await first.acquire()
        // Never renews: as good as dead.
        let began = ContinuousClock.now
        let second = elector("b", leases)
        try await second.acquire()
        let waited = ContinuousClock.now - began
        #expect(waited >= .seconds(1))
        #expect(leases.state.withLock { $0.holders } == ["a", "b"])
    }

    @Test(.timeLimit(.minutes(1))) func losingTheServerForTooLongCancelsTheWorkAndThrows() async throws {
        for hangs in [false, true] {
            let leases = Leases()
            let metrics = MetricsRegistry()
            let me = elector("a", leases, leaseDuration: .seconds(15), renewDeadline: .milliseconds(800), metrics: metrics)
            let began = ContinuousClock.now
            try await me.acquire()
            #expect(metrics.expose().contains("leader_election_master_status{name=\"lease\"} 1"))
            let told = Shared<LeaseLost?>(nil)
            leases.state.withLock { state in
                if hangs { state.hangs = true } else { state.isAway = true }
            }
            await #expect(throws: LeaseLost.self) {
                try await me.lead(onLost: { lost in told.withLock { $0 = lost } }) { try await Task.sleep(for: .seconds(1000)) }
            }
            let waited = ContinuousClock.now - began
            #expect(waited > .milliseconds(600) && waited < .seconds(15), "before anyone else may lead")
            #expect(told.withLock { $0 } != nil)
            #expect(metrics.expose().contains("leader_election_master_status{name=\"lease\"} 0"))
        }
    }

    @Test(.timeLimit(.minutes(1))) func aShortAbsenceOfTheServerIsSurvived() async throws {
        let leases = Leases()
        let me = elector("a", leases)
        try await me.acquire()
        let value = try await me.lead {
            leases.state.withLock { $0.isAway = true }
            try await Task.sleep(for: .milliseconds(350))
            let before = leases.state.withLock { state in
                state.isAway = false
                return state.holders.count
            }
            try await eventually("it renews again") { leases.state.withLock { $0.holders.count } > before + 2 }
            return 7
        }
        #expect(value == 7)
    }

    @Test(.timeLimit(.minutes(1))) func whatTheWorkThrowsIsThrownAfterTheRelease() async throws {
        struct Broken: Error {}
        let leases = Leases()
        let me = elector("a", leases)
        try await me.acquire()
        await #expect(throws: Broken.self) { try await me.lead { throw Broken() } }
        #expect(leases.state.withLock { $0.lease?.spec?.holderIdentity } == "")
        #expect(leases.state.withLock { $0.lease?.spec?.leaseDurationSeconds } == 1)
    }

    @Test(.timeLimit(.minutes(1))) func cancellingStillHandsOver() async throws {
        let leases = Leases()
        let me = elector("a", leases)
        try await me.acquire()
        let leading = Task { try await me.lead { try await Task.sleep(for: .seconds(1000)) } }
        try await Task.sleep(for: .milliseconds(250))
        leading.cancel()
        _ = await leading.result
        #expect(leases.state.withLock { $0.lease?.spec?.holderIdentity } == "")
    }

    @Test(.timeLimit(.minutes(1))) func waitingToLeadCanBeCancelledAndOutlivesAServerThatIsAway() async throws {
        let leases = Leases()
        leases.state.withLock { $0.isAway = true }
        let me = elector("a", leases)
        let waiting = Task { try await me.acquire() }
        try await Task.sleep(for: .milliseconds(300))
        leases.state.withLock { $0.isAway = false }
        try await waiting.value
        #expect(me.isLeader)

        let other = elector("b", leases)
        let cancelled = Task { try await other.acquire() }
        try await Task.sleep(for: .milliseconds(150))
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
    }

    @Test(.timeLimit(.minutes(1))) func fiveCandidatesTakeTurnsAndNeverLeadTogether() async throws {
        let leases = Leases()
        let leading = Shared(0)
        let turns = Shared([String]())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for n in 0..<5 {
                group.addTask {
                    let me = elector("c\(n)", leases)
                    try await me.acquire()
                    try await me.lead {
                        let together = leading.withLock { count in
                            count += 1
                            return count
                        }
                        #expect(together == 1)
                        try await Task.sleep(for: .milliseconds(150))
                        turns.withLock { $0.append("c\(n)") }
                        leading.withLock { $0 -= 1 }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(Set(turns.withLock { $0 }).count == 5)
    }
}
