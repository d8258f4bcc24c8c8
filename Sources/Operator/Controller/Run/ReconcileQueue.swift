internal import Kubernetes
internal import Logging
internal import Synchronization

/// The ModelCaches that need a plan, each with the reasons since its last one, which the log shows at level debug.
final class ReconcileQueue: Sendable {
    /// When a wake takes effect.
    enum Urgency {
        case now
        /// With what else changes in the next moment: the Jobs of one ModelCache, the nodes of a cluster.
        case soon
        /// Bytes that moved, after everything else.
        case routine
    }

    private static let gathering: Duration = .milliseconds(20)
    private static let progressGathering: Duration = .seconds(1)

    private let queue: WorkQueue<ObjectKey>
    private let reasons = Mutex(PendingReasons<ObjectKey>())
    private let logger: Logger

    init(metrics: MetricsRegistry, logger: Logger) {
        queue = WorkQueue(
            name: "modelcache", rateLimit: QueueRateLimit(most: .seconds(30), perSecond: nil), metrics: metrics,
            logger: logger)
        self.logger = logger
    }

    func add(_ keys: [ObjectKey], _ reason: WakeReason, _ urgency: Urgency = .soon) {
        guard !keys.isEmpty else { return }
        // First: a reconcile that begins at once has it.
        reasons.withLock { $0.add(reason, for: keys) }
        switch urgency {
        case .now: queue.add(keys)
        case .soon: for key in keys { queue.add(key, after: Self.gathering) }
        case .routine: for key in keys { queue.add(key, priority: .routine, after: Self.progressGathering) }
        }
    }

    func shutDown() { queue.shutDown() }

    /// As ``WorkQueue/run(workers:reconcile:)``.
    func run(workers: Int, reconcile: @escaping @Sendable (ObjectKey) async throws -> ReconcileOutcome) async {
        await queue.run(workers: workers) { [self] key in
            let taken = reasons.withLock { $0.take(key) }
            logger.debug(
                "reconcile", metadata: ["modelcache": "\(key)", "why": "\(PendingReasons<ObjectKey>.text(taken))"])
            do {
                let outcome = try await reconcile(key)
                if outcome == .requeue { reasons.withLock { $0.add(.retry, for: [key]) } }
                return outcome
            } catch {
                reasons.withLock { $0.add(.retry, for: [key]) }
                throw error
            }
        }
    }
}
