internal import CRD
internal import Kubernetes
internal import Logging

/// Watches the pods that name a ModelCache. Of those that the webhook did not see (`failurePolicy: Ignore` lets a pod
/// be created while it is away), and of those that it left alone, it tells: one Warning Event each. Those that wait on
/// their node it hands on.
///
/// **Guarantees.** Of all pods in the cluster only labelled ones come over the wire, and only missed and waiting ones
/// are kept. Events are written at most ``perSecond`` a second after the first ``burst``; one is tried again until the
/// API server takes it.
///
/// **Rights.** Pods: list, watch; Events: create. Without them it says so in the log now and then, and nothing else
/// suffers.
struct LabelledPods: Sendable {
    private let reflector: Reflector<PodOutline, LabelledPod>
    private let queue: WorkQueue<ObjectKey>
    private let sink: any EventSink
    private let logger: Logger

    /// A whole Deployment scaled up while the webhook was away must not flood the API server.
    private static let perSecond = 5.0
    private static let burst = 20

    /// - Parameters:
    ///   - settled: a pod that started on its node is ready, over, or gone.
    ///   - waits: a pod waits on a node for the ModelCache of this uid, or (nil) no longer does.
    init(
        client: KubernetesClient, namespace: String?, metrics: MetricsRegistry, logger: Logger,
        settled: @escaping @Sendable (WaitingPod) -> Void,
        waits: @escaping @Sendable (_ pod: WaitingPod?, _ podUID: String, _ cacheUID: String) -> Void
    ) {
        // Both selectors are the server's work: pods that are over are never sent.
        let selecting = ListOptions(
            labelSelector: InjectionMark.label, fieldSelector: "status.phase!=Succeeded,status.phase!=Failed")
        let reflector = Reflector<PodOutline, LabelledPod>(
            client: client, namespace: namespace, selecting: selecting, logger: logger
        ) { LabelledPod($0) }
        let queue = WorkQueue<ObjectKey>(
            name: "missed-pods",
            rateLimit: QueueRateLimit(most: .seconds(300), perSecond: Self.perSecond, burst: Self.burst),
            metrics: metrics,
            logger: logger)
        @Sendable func left(_ pod: LabelledPod) {
            guard case .waiting(let gone, let cacheUIDs, _) = pod else { return }
            for cacheUID in cacheUIDs { waits(nil, gone.uid, cacheUID) }
        }
        @Sendable func came(_ key: ObjectKey, _ pod: LabelledPod, after old: LabelledPod?) {
            switch pod {
            case .missed(let missed): if missed.uid != old?.missed?.uid { queue.addRateLimited(key) }
            case .waiting(let waiting, let cacheUIDs, _):
                for cacheUID in cacheUIDs { waits(waiting, waiting.uid, cacheUID) }
            }
        }
        reflector.addHandler { event in
            switch event {
            case .added(let key, let pod): came(key, pod, after: nil)
            case .modified(let key, let old, let new):
                if old != new { left(old) }
                came(key, new, after: old)
            case .deleted(let key, let pod):
                queue.forget(key)
                left(pod)
                if case .waiting(let waiting, _, true) = pod { settled(waiting) }
            }
        }
        let gauge = metrics.gauge(
            "modelcache_missed_pods", help: "Pods that name a ModelCache and were created without the webhook.")[]
        metrics.onCollect {
            gauge.set(Double(reflector.store.values().count { $0.missed.map { $0.leftAloneBecause == nil } ?? false }))
        }
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
        guard let pod = reflector.store.get(key)?.missed else { return .done }
        do {
            try await sink.create(pod.event(now: Timestamp(.now)))
            logger.info(
                "a pod runs without its model",
                metadata: ["pod": "\(key)", "modelcache": "\(pod.modelCache)", "reason": "\(pod.reason)"])
        } catch let error as KubernetesError where error.isAlreadyExists {
            // Told before, by this replica or another.
        } catch let error as KubernetesError where error.isForbidden || error.isNotFound {
            // The namespace is on its way out, or the right is missing: another try changes nothing.
            logger.warning("an Event was refused", metadata: ["pod": "\(key)", "reason": "\(error)"])
        }
        return .done
    }
}
