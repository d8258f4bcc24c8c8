internal import CRD
internal import Kubernetes
internal import Logging
internal import ModelCacheClient

/// Tells of each pod that was given a model and has become ready what its start took: one Normal Event about the pod,
/// and a histogram.
///
/// **Guarantees.** A start is told at most once, by whichever replica leads: the Event's name follows from the pod, and
/// the histogram counts who could write it. A pod that is ready again starts no more. Events are written at most
/// ``perSecond`` a second after the first ``burst``. A pod that becomes ready while no replica leads is not told.
///
/// **Rights.** Pods: list; Events: create.
struct StartRecorder: Sendable {
    /// A pod that waited on its node does no longer: it is ready, over, or gone.
    private struct Settled: Hashable, Sendable, CustomStringConvertible {
        let key: ObjectKey
        let uid: String

        var description: String { "\(key)" }
    }

    private let client: KubernetesClient
    private let sink: any EventSink
    private let queue: WorkQueue<Settled>
    private let seconds: HistogramFamily
    private let reading: Reading
    private let logger: Logger

    /// The reading that the agent of a node has of a pod; nil: none, or it does not say. The uids are the pod's word.
    typealias Reading =
        @Sendable (_ podUID: String, _ namespace: String, _ node: String, _ cacheUIDs: [String]) async -> PodReading?

    /// API servers keep Events for an hour; until then one of the same name is refused.
    private static let eventLifetimeSeconds: Int64 = 3600
    private static let perSecond = 5.0
    private static let burst = 20
    /// From a pod on a warm node to hundreds of gigabytes over a slow link, in seconds.
    private static let buckets: [Double] = [1, 2, 5, 10, 20, 40, 60, 120, 240, 600, 1200, 3600]

    init(client: KubernetesClient, metrics: MetricsRegistry, logger: Logger, reading: @escaping Reading) {
        self.client = client
        self.reading = reading
        self.logger = logger
        sink = APIEventSink(client: client)
        queue = WorkQueue(
            name: "started-pods",
            rateLimit: QueueRateLimit(most: .seconds(60), perSecond: Self.perSecond, burst: Self.burst),
            metrics: metrics, logger: logger)
        seconds = metrics.histogram(
            "modelcache_pod_start_seconds",
            help: "From the creation of a pod that was given a model until it was ready, and each phase of it.",
            labels: ["phase"], buckets: Self.buckets)
    }

    /// The pod no longer waits.
    func settled(_ pod: WaitingPod) {
        queue.addRateLimited(Settled(key: ObjectKey(namespace: pod.namespace, name: pod.name), uid: pod.uid))
    }

    /// Until cancelled; for the leader alone.
    func run() async {
        await withTaskCancellationHandler {
            await queue.run(workers: 1) { pod in try await tell(pod) }
        } onCancel: {
            queue.shutDown()
        }
    }

    private func tell(_ settled: Settled) async throws -> ReconcileOutcome {
        // Complete, and by a right that the operator has: the watch brings outlines.
        let found = try await client.listAll(
            Pod.self, in: settled.key.namespace, ListOptions(fieldSelector: "metadata.name=\(settled.key.name)")
        ).items.first { $0.metadata.uid == settled.uid }
        guard let pod = found, let node = pod.spec?.nodeName else { return .done }
        guard let known = pod.start(now: Timestamp(.now), nil), known.underWay == nil else { return .done }
        // A restart of one whose Event may be gone: it was told of its start.
        guard known.restarts == 0 || known.seconds < Self.eventLifetimeSeconds else { return .done }
        let cacheUIDs = InjectionMark.cacheUIDs(pod.metadata.annotations ?? [:])
        let record = await reading(settled.uid, settled.key.namespace, node, cacheUIDs)
        guard let start = pod.start(now: Timestamp(.now), record) else { return .done }
        do {
            try await sink.create(Self.event(start, key: settled.key, uid: settled.uid, now: Timestamp(.now)))
        } catch let error as KubernetesError where error.isAlreadyExists {
            // Ready again, or told by another replica.
            return .done
        } catch let error as KubernetesError where error.isForbidden || error.isNotFound {
            logger.warning("an Event was refused", metadata: ["pod": "\(settled.key)", "reason": "\(error)"])
            return .done
        }
        seconds["total"].observe(Double(start.seconds))
        for phase in start.phases { seconds[phase.step.rawValue].observe(Double(phase.seconds)) }
        return .done
    }

    /// Under a name that follows from the pod.
    static func event(_ start: PodStart, key: ObjectKey, uid: String, now: Timestamp) -> Event {
        Event(
            metadata: ObjectMeta(
                name: "\(key.name.prefix(220)).started-\(Digest.sha256(uid).prefix(10))", namespace: key.namespace),
            involvedObject: ObjectReference(
                apiVersion: Pod.apiVersion, kind: Pod.kind, namespace: key.namespace, name: key.name, uid: uid),
            reason: "ModelStarted", message: String(StartsText.sentence(start).prefix(1000)),
            type: EventType.normal.rawValue, source: EventSource(component: Names.fieldOwner), firstTimestamp: now,
            lastTimestamp: now, count: 1, reportingComponent: Names.fieldOwner, reportingInstance: Names.fieldOwner)
    }
}
