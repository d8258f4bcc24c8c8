public import Logging
internal import Synchronization

/// The result of a reconcile that did not fail.
public enum ReconcileOutcome: Sendable, Equatable {
    /// Nothing to do until something changes.
    case done
    /// Retry soon, with the key's back-off.
    case requeue
    /// Retry after this time; the back-off starts anew.
    case requeueAfter(Duration)
}

/// Keys that need work, each with at most one worker: client-go's rate-limiting work queue with controller-runtime's
/// workers.
///
/// All functions but ``run(workers:reconcile:)`` are synchronous and quick, so that a watch's handler may call them.
/// See ``WorkQueueState`` for the guarantees about a key.
///
/// ```swift
/// let queue = WorkQueue<ObjectKey>(name: "modelcache", metrics: registry, logger: logger)
/// await withGracefulShutdownHandler {
///     await queue.run(workers: 4) { key in try await reconcile(key) }
/// } onGracefulShutdown: { queue.shutDown() }
/// ```
public final class WorkQueue<Key: Hashable & Sendable>: Sendable {
    private struct State {
        var queue = WorkQueueState<Key>()
        var limiter: QueueRateLimiter<Key>
        /// Workers without a key.
        var idle: [CheckedContinuation<Key?, Never>] = []
        /// The timer's sleep, and when it ends without cancellation.
        var nap: (task: Task<Void, Never>, until: ContinuousClock.Instant)?
    }

    public let name: String
    private let state: Mutex<State>
    private let clock = ContinuousClock()
    private let metrics: WorkQueueMetrics?
    private let reconcileMetrics: ReconcileMetrics?
    private let logger: Logger

    /// - Parameters:
    ///   - name: the labels `name` and `controller` of the metrics.
    ///   - metrics: gets `workqueue_*` and `controller_runtime_*`, at zero from now on.
    public init(
        name: String, rateLimit: QueueRateLimit = QueueRateLimit(), metrics: MetricsRegistry? = nil, logger: Logger
    ) {
        self.name = name
        self.logger = logger
        self.metrics = metrics.map { WorkQueueMetrics($0, queue: name) }
        reconcileMetrics = metrics.map { ReconcileMetrics($0, controller: name) }
        state = Mutex(State(limiter: QueueRateLimiter(rateLimit)))
        metrics?.onCollect { [weak self] in self?.publish() }
    }

    /// Ready keys that no worker holds.
    public var depth: Int { state.withLock { $0.queue.depth } }

    /// `key` needs work. No effect when it waits already, or after ``shutDown(drain:)``.
    public func add(_ key: Key) { add([key]) }

    /// As ``add(_:)-(Key)`` for many keys, with one lock.
    public func add(_ keys: some Sequence<Key>) {
        // Before the lock is taken: a lazy sequence may call this queue while it is iterated.
        let keys = Array(keys)
        state.withLock { state in
            let now = clock.now
            for key in keys { count(state.queue.add(key, now: now) ? 1 : 0) }
            handOut(&state)
        }
    }

    /// `key` needs work after `delay`. An earlier time noted before stays.
    public func add(_ key: Key, priority: WorkQueueState<Key>.Priority = .prompt, after delay: Duration) {
        state.withLock { schedule(key, priority: priority, after: delay, &$0) }
    }

    /// `key` failed: it is ready again after its back-off.
    public func addRateLimited(_ key: Key) {
        metrics?.retries.increment()
        state.withLock { state in
            let delay = state.limiter.delay(for: key, now: clock.now)
            schedule(key, priority: .routine, after: delay, &state)
        }
    }

    /// `key` succeeded: its back-off starts anew. This does not remove it from the queue.
    public func forget(_ key: Key) { state.withLock { $0.limiter.forget(key) } }

    /// Failures of `key` since ``forget(_:)``.
    public func requeues(of key: Key) -> Int { state.withLock { $0.limiter.requeues(of: key) } }

    /// Ends ``run(workers:reconcile:)`` once the reconciles in flight have ended. The queue takes no new keys.
    ///
    /// - Parameter drain: handle the ready keys first. Delayed keys are dropped in any case.
    public func shutDown(drain: Bool = false) {
        state.withLock { state in
            state.queue.shutDown(drain: drain)
            wakeAtEnd(&state)
        }
    }

    /// Handles keys until ``shutDown(drain:)``, each key in at most one `reconcile` at a time.
    ///
    /// A reconcile that throws is logged, counted and retried after the key's back-off. Cancelling the task shuts the
    /// queue down and cancels the reconciles in flight.
    public func run(workers: Int, reconcile: @escaping @Sendable (Key) async throws -> ReconcileOutcome) async {
        precondition(workers > 0, "a queue without workers")
        reconcileMetrics?.mostConcurrent.set(Double(workers))
        await withTaskCancellationHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.runTimer() }
                for _ in 0..<workers {
                    group.addTask {
                        while let key = await self.take() {
                            await self.work(key, reconcile)
                            self.finish(key)
                        }
                    }
                }
                await group.waitForAll()
            }
        } onCancel: {
            shutDown()
        }
    }

    // MARK: One worker

    private func work(_ key: Key, _ reconcile: @Sendable (Key) async throws -> ReconcileOutcome) async {
        reconcileMetrics?.active.add(1)
        let started = clock.now
        defer {
            reconcileMetrics?.seconds.observe(started.duration(to: clock.now))
            reconcileMetrics?.active.add(-1)
        }
        do {
            switch try await reconcile(key) {
            case .done:
                forget(key)
                reconcileMetrics?.success.increment()
            case .requeue:
                addRateLimited(key)
                reconcileMetrics?.requeue.increment()
            case .requeueAfter(let delay):
                forget(key)
                add(key, priority: .routine, after: delay)
                reconcileMetrics?.requeueAfter.increment()
            }
        } catch is CancellationError where Task.isCancelled {
            logger.debug("reconcile cancelled", metadata: ["controller": "\(name)", "key": "\(key)"])
        } catch {
            addRateLimited(key)
            reconcileMetrics?.error.increment()
            reconcileMetrics?.errors.increment()
            logger.error(
                "reconcile failed",
                metadata: [
                    "controller": "\(name)", "key": "\(key)", "error": "\(error)", "failures": "\(requeues(of: key))",
                ])
        }
    }

    /// The next key; nil at the end.
    private func take() async -> Key? {
        await withCheckedContinuation { continuation in
            state.withLock { state in
                state.idle.append(continuation)
                handOut(&state)
                wakeAtEnd(&state)
            }
        }
    }

    private func finish(_ key: Key) {
        state.withLock { state in
            let worked = state.queue.done(key, now: clock.now)
            metrics?.worked.observe(worked)
            handOut(&state)
            wakeAtEnd(&state)
        }
    }

    // MARK: Under the lock

    private func schedule(
        _ key: Key, priority: WorkQueueState<Key>.Priority, after delay: Duration, _ state: inout State
    ) {
        let now = clock.now
        count(state.queue.add(key, priority: priority, due: now + delay, now: now) ? 1 : 0)
        handOut(&state)
        if let nap = state.nap, let due = state.queue.nextDue, due < nap.until { nap.task.cancel() }
    }

    /// Resuming under the lock is safe, because a continuation's resume only schedules the worker.
    private func handOut(_ state: inout State) {
        while !state.idle.isEmpty, let (key, waited) = state.queue.take(now: clock.now) {
            metrics?.waited.observe(waited)
            state.idle.removeLast().resume(returning: key)
        }
        metrics?.depth.set(Double(state.queue.depth))
    }

    private func wakeAtEnd(_ state: inout State) {
        guard state.queue.isEnded else { return }
        for worker in state.idle { worker.resume(returning: nil) }
        state.idle = []
        state.nap?.task.cancel()
        metrics?.depth.set(0)
    }

    private func count(_ adds: Int) {
        if adds > 0 { metrics?.adds.increment(by: Double(adds)) }
    }

    // MARK: Time

    /// Sleeps until the next key is due. An earlier key, or the end, cancels the sleep.
    private func runTimer() async {
        while let nap = state.withLock({ fallAsleep(&$0) }) { await nap.value }
    }

    private func fallAsleep(_ state: inout State) -> Task<Void, Never>? {
        state.nap = nil
        guard !state.queue.isEnded else { return nil }
        count(state.queue.promote(now: clock.now))
        handOut(&state)
        // A cancelled sleep keeps its memory until its planned end, so no sleep is long.
        let latest = clock.now + .seconds(5)
        let until = min(state.queue.nextDue ?? latest, latest)
        let nap = Task<Void, Never> { [clock] in _ = try? await clock.sleep(until: until) }
        state.nap = (nap, until)
        return nap
    }

    private func publish() {
        let (total, longest) = state.withLock { $0.queue.unfinished(now: clock.now) }
        metrics?.unfinished.set(total.inSeconds)
        metrics?.longest.set(longest.inSeconds)
    }
}
