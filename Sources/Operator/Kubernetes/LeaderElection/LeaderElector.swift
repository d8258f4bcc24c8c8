package import FoundationEssentials
public import Logging
internal import Synchronization

/// Takes part in an election: carries out ``LeaderElection`` against a ``LeaseStore``.
///
/// ```swift
/// let elector = LeaderElector(
///     store: client, namespace: "modelcache-system", name: "modelcache-operator", logger: logger)
/// try await elector.acquire()
/// try await elector.lead { try await controller.run() }   // throws LeaseLost; end the process then
/// ```
///
/// One value takes part once: it ends with ``lead(onLost:_:)``.
public final class LeaderElector: Sendable {
    private let store: any LeaseStore
    private let namespace: String
    private let name: String
    public let options: LeaderElectionOptions
    private let events: EventRecorder?
    private let master: Gauge?
    private let logger: Logger
    private let time: ElectionTime
    private let election: Mutex<LeaderElection>

    /// - Parameters:
    ///   - events: gets an Event on the Lease when this process becomes the leader.
    ///   - metrics: gets `leader_election_master_status`.
    /// - Precondition: `options.problem` is nil.
    public convenience init(
        store: any LeaseStore, namespace: String, name: String,
        options: LeaderElectionOptions = LeaderElectionOptions(), events: EventRecorder? = nil,
        metrics: MetricsRegistry? = nil, logger: Logger
    ) {
        self.init(
            store: store, namespace: namespace, name: name, options: options, events: events, metrics: metrics,
            logger: logger, time: .real)
    }

    package init(
        store: any LeaseStore, namespace: String, name: String, options: LeaderElectionOptions,
        events: EventRecorder? = nil,
        metrics: MetricsRegistry? = nil, logger: Logger, time: ElectionTime
    ) {
        self.store = store
        self.namespace = namespace
        self.name = name
        self.options = options
        self.events = events
        self.logger = logger
        self.time = time
        master =
            metrics?.gauge(
                "leader_election_master_status",
                help: "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, "
                    + "1 indicates master. 'name' is the string used to identify the lease.",
                labels: ["name"])[name]
        election = Mutex(LeaderElection(namespace: namespace, name: name, options: options))
    }

    public var isLeader: Bool { election.withLock { $0.isLeader } }

    /// Waits until this process is the leader. Then call ``lead(onLost:_:)`` at once: nothing renews the lease in
    /// between.
    ///
    /// It never gives up on errors of the API server. A candidate tries every ``LeaderElectionOptions/retryPeriod``,
    /// less up to a quarter at random so that candidates do not try in step, and at the moment at which the observed
    /// lease expires.
    ///
    /// - Throws: `CancellationError`.
    public func acquire() async throws {
        logger.info("waiting to lead", metadata: ["lease": "\(namespace)/\(name)", "identity": "\(options.identity)"])
        var seen: String?
        while true {
            try Task.checkCancellation()
            let step = await round()
            guard !isLeader else { break }
            if let holder = election.withLock({ $0.holder }), holder != seen {
                seen = holder
                logger.info("another leads", metadata: ["lease": "\(namespace)/\(name)", "leader": "\(holder)"])
            }
            guard case .wait(let pause) = step else { continue }
            // A shortened pause ends just after the lease expires, not before.
            let isCut = pause < options.retryPeriod
            try await time.sleep(
                isCut ? pause + options.retryPeriod * time.jitter(0...0.05) : pause * time.jitter(0.75...1))
        }
        master?.set(1)
        logger.info("leading", metadata: ["lease": "\(namespace)/\(name)", "identity": "\(options.identity)"])
        events?.record(
            .normal, reason: "LeaderElection", "\(options.identity) became leader",
            regarding: ObjectReference(apiVersion: Lease.apiVersion, kind: Lease.kind, namespace: namespace, name: name)
        )
    }

    /// Does `work` while it renews the lease, and releases the lease when `work` has ended, so that the next candidate
    /// can lead at its next try.
    ///
    /// - Parameter onLost: called at once when the lease is lost, before the cancelled `work` has ended. For a process
    ///   that must not outlive its lease: another can lead from ``LeaderElectionOptions/leaseDuration`` less
    ///   ``LeaderElectionOptions/renewDeadline`` after this call.
    /// - Throws: ``LeaseLost`` when the lease was lost, else the error of `work`.
    public func lead<Value: Sendable>(
        onLost: @escaping @Sendable (LeaseLost) -> Void = { _ in }, _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: End<Value>.self) { group in
            group.addTask {
                do { return .work(.success(try await work())) } catch { return .work(.failure(error)) }
            }
            group.addTask { .renewing(await self.renew()) }
            var lost: LeaseLost?
            while let end = try await group.next() {
                switch end {
                case .renewing(let reason):
                    lost = reason
                    guard let reason else { continue }
                    master?.set(0)
                    logger.critical("\(reason)")
                    onLost(reason)
                    group.cancelAll()
                case .work(let result):
                    group.cancelAll()
                    // A renewal in flight at the release would conflict with the released version.
                    while let end = try await group.next() {
                        if case .renewing(let reason) = end { lost = lost ?? reason }
                    }
                    if let lost { throw lost }
                    await release()
                    return try result.get()
                }
            }
            throw CancellationError()
        }
    }

    // MARK: Inside

    /// Nil when cancelled.
    private func renew() async -> LeaseLost? {
        while !Task.isCancelled {
            switch await round() {
            case .lost(let reason): return reason
            case .wait(let pause): do { try await time.sleep(pause) } catch { return nil }
            case .read, .create, .replace: continue
            }
        }
        return nil
    }

    /// One complete round.
    private func round() async -> LeaderElection.Step {
        var step = election.withLock { $0.begin(now: time.now(), date: time.date()) }
        while true {
            do {
                switch step {
                case .wait, .lost:
                    return step
                case .read:
                    let lease = try await inTime { [store, namespace, name] in
                        try await store.read(namespace: namespace, name: name)
                    }
                    step = election.withLock { $0.read(lease, now: time.now(), date: time.date()) }
                case .create(let lease):
                    let stored = try await inTime { [store] in try await store.create(lease) }
                    step = election.withLock { $0.wrote(stored, now: time.now()) }
                case .replace(let lease):
                    let stored = try await inTime { [store] in try await store.replace(lease) }
                    step = election.withLock { $0.wrote(stored, now: time.now()) }
                }
            } catch {
                // Cancelled by the caller, so this is no failure of the API server.
                if Task.isCancelled { return .wait(.zero) }
                let failure = LeaderElection.Failure(error, of: step)
                step = election.withLock { $0.failed(failure, now: time.now()) }
                if case .other(let text) = failure {
                    logger.warning(
                        "lease not reached", metadata: ["lease": "\(namespace)/\(name)", "error": "\(text)"])
                }
            }
        }
    }

    private func release() async {
        election.withLock { $0.resign() }
        master?.set(0)
        do {
            // A task of its own, so that a cancelled caller still releases the lease.
            try await Task {
                // A cancelled renewal may still arrive and change the version; then the release is tried again.
                for attempt in 1...3 {
                    let lease = try await inTime { [store, namespace, name] in
                        try await store.read(namespace: namespace, name: name)
                    }
                    guard let released = election.withLock({ $0.release(of: lease, date: time.date()) }) else { return }
                    do {
                        _ = try await inTime { [store] in try await store.replace(released) }
                        return
                    } catch let error as KubernetesError where error.isConflict && attempt < 3 {}
                }
            }.value
            logger.info("lease released", metadata: ["lease": "\(namespace)/\(name)"])
        } catch {
            logger.warning(
                "lease not released; the next leader waits until it runs out",
                metadata: ["lease": "\(namespace)/\(name)", "error": "\(error)"])
        }
    }

    /// Limits a request to half of the time before the deadline, so that another one can follow, as in
    /// controller-runtime.
    private func inTime<T: Sendable>(_ request: @escaping @Sendable () async throws -> T) async throws -> T {
        var limit = options.renewDeadline / 2
        if let deadline = election.withLock({ $0.deadline }) {
            limit = max(.milliseconds(1), min(limit, time.now().duration(to: deadline)))
        }
        return try await withThrowingTaskGroup(of: T.self) { [limit] group in
            group.addTask { try await request() }
            group.addTask { [time] in
                try await time.sleep(limit)
                throw RequestHung(limit: limit)
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }
}

/// The end of one of a leader's two tasks.
private enum End<Value: Sendable>: Sendable {
    case work(Result<Value, any Error>)
    /// Nil: the task was cancelled.
    case renewing(LeaseLost?)
}

private struct RequestHung: Error, CustomStringConvertible {
    let limit: Duration
    var description: String { "no answer within \(limit.inSeconds)s" }
}

extension LeaderElection.Failure {
    /// A lease that vanished between read and write is a conflict too; a creation without its namespace is not.
    fileprivate init(_ error: any Error, of step: LeaderElection.Step) {
        let vanished = if case .replace = step { true } else { false }
        if let error = error as? KubernetesError,
            error.isConflict || error.isAlreadyExists || (vanished && error.isNotFound)
        {
            self = .conflict
        } else {
            self = .other("\(error)")
        }
    }
}

/// The clocks of an election; tests pass their own.
package struct ElectionTime: Sendable {
    package var now: @Sendable () -> ContinuousClock.Instant
    package var date: @Sendable () -> Date
    package var sleep: @Sendable (Duration) async throws -> Void
    package var jitter: @Sendable (ClosedRange<Double>) -> Double

    package init(
        now: @escaping @Sendable () -> ContinuousClock.Instant, date: @escaping @Sendable () -> Date,
        sleep: @escaping @Sendable (Duration) async throws -> Void,
        jitter: @escaping @Sendable (ClosedRange<Double>) -> Double
    ) {
        self.now = now
        self.date = date
        self.sleep = sleep
        self.jitter = jitter
    }

    package static let real = ElectionTime(
        now: { .now }, date: { Date() }, sleep: { try await Task.sleep(for: $0, tolerance: .zero, clock: .continuous) },
        jitter: { .random(in: $0) })
}
