internal import CRD
internal import Kubernetes
internal import Logging

/// Tells of pods that name a ModelCache and that the webhook did not see (`failurePolicy: Ignore` lets a pod be created while it is
/// away): one Warning Event each.
///
/// **Guarantees.** Of all pods in the cluster only labelled ones come over the wire, and only missed ones are kept. Events are
/// written at most ``perSecond`` a second after the first ``burst``; one is tried again until the API server takes it.
///
/// **Rights.** Pods: list, watch; Events: create. Without them it says so in the log now and then, and nothing else suffers.
struct MissedPods: Sendable {
    private let reflector: Reflector<PodOutline, MissedPod>
    private let queue: WorkQueue<ObjectKey>
    private let sink: any EventSink
    private let logger: Logger

    /// A whole Deployment scaled up while the webhook was away must not flood the API server.
    private static let perSecond = 5.0
    private static let burst = 20

    init(client: KubernetesClient, namespace: String?, metrics: MetricsRegistry, logger: Logger) {
        // Both selectors are the server's work: pods that are over are never sent.
        let selecting = ListOptions(
            labelSelector: InjectionMark.label, fieldSelector: "status.phase!=Succeeded,status.phase!=Failed")
        let reflector = Reflector<PodOutline, MissedPod>(client: client, namespace: namespace, selecting: selecting, logger: logger) {
            MissedPod($0)
        }
        let queue = WorkQueue<ObjectKey>(
            name: "missed-pods", rateLimit: QueueRateLimit(most: .seconds(300), perSecond: Self.perSecond, burst: Self.burst), metrics: metrics,
            logger: logger)
        reflector.addHandler { event in
            switch event {
            case .added(let key, _): queue.addRateLimited(key)
            // Deleted and made again between two lists.
            case .modified(let key, let old, let new): if old.uid != new.uid { queue.addRateLimited(key) }
            case .deleted(let key, _): queue.forget(key)
            }
        }
        let gauge = metrics.gauge("modelcache_missed_pods", help: "Pods that name a ModelCache and were created without the webhook.")[]
        metrics.onCollect { gauge.set(Double(reflector.store.count)) }
        self.reflector = reflector
        self.queue = queue
        self.sink = APIEventSink(client: client)
        self.logger = logger
    }

    /// Until cancelled; for the leader alone.
    ///
    /// - Throws: `CancellationError`, nothing else.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await reflector.run() }
            group.addTask {
                await withTaskCancellationHandler {
                    await queue.run(workers: 1) { key in try await tell(key) }
                } onCancel: {
                    queue.shutDown()
                }
            }
            try await group.waitForAll()
        }
    }

    private func tell(_ key: ObjectKey) async throws -> ReconcileOutcome {
        // Gone, over, or made anew with the webhook by now.
        guard let pod = reflector.store.get(key) else { return .done }
        do {
            try await sink.create(pod.event(now: Timestamp(.now)))
            logger.info(
                "a pod was created without the webhook", metadata: ["pod": "\(key)", "modelcache": "\(pod.modelCache)"])
        } catch let error as KubernetesError where error.isAlreadyExists {
            // Told before, by this replica or another.
        } catch let error as KubernetesError where error.isForbidden || error.isNotFound {
            // The namespace is on its way out, or the right is missing: another try changes nothing.
            logger.warning("an Event was refused", metadata: ["pod": "\(key)", "reason": "\(error)"])
        }
        return .done
    }
}
