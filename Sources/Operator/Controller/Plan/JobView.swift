internal import Kubernetes

/// The facts that the plan needs about a warm-up Job.
public struct JobView: Sendable, Hashable {
    public enum Phase: Sendable, Hashable {
        case unfinished
        case complete
        /// `reason` is the Job controller's: BackoffLimitExceeded, DeadlineExceeded. `at`: by this machine's clock when
        /// it was seen to happen, else the API server's word, never later than now.
        case failed(reason: String, message: String, at: WallTime)
    }

    public var name: String
    public var namespace: String
    public var uid: String
    /// `metadata.resourceVersion`.
    public var version: String
    /// uid of the ModelCache.
    public var cacheUID: String
    public var node: String
    public var phase: Phase
    /// Its controller makes no pods, by `spec.suspend`: a queue of Jobs, such as Kueue, has not admitted it.
    public var isSuspended = false
    public var isDeleting: Bool
    /// It was made for the pods on a node that `spec.placement` gives no copy.
    public var isForPods = false
    public var attempt: Attempt
    /// When this operator first saw the Job in ``phase``, suspended or not: a report from before then says nothing of
    /// its outcome.
    public var phaseSeen: WallTime

    public init(
        name: String, namespace: String, uid: String, version: String = "", cacheUID: String, node: String,
        phase: Phase = .unfinished, isDeleting: Bool = false, attempt: Attempt = Attempt(), phaseSeen: WallTime
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.version = version
        self.cacheUID = cacheUID
        self.node = node
        self.phase = phase
        self.isDeleting = isDeleting
        self.attempt = attempt
        self.phaseSeen = phaseSeen
    }

    /// Nil for a Job that is not one of ours after all: its owner and its own name must be what we would have written.
    public init?(_ job: JobOutline, now: WallTime) {
        guard let cacheUID = job.metadata.labels?[Names.uidLabel],
            let node = job.metadata.annotations?[Names.nodeAnnotation],
            let owner = Owner.controlling(job.metadata.ownerReferences, label: cacheUID),
            job.objectKey.name == Names.job(cache: owner.name, uid: cacheUID, node: node)
        else { return nil }
        name = job.objectKey.name
        namespace = job.objectKey.namespace
        uid = job.uid
        version = job.resourceVersion
        self.cacheUID = cacheUID
        self.node = node
        isDeleting = job.metadata.deletionTimestamp != nil
        isForPods = job.metadata.annotations?[Names.forPodsAnnotation] != nil
        attempt = Attempt(text: job.metadata.annotations?[Names.attemptAnnotation] ?? "")
        if let condition = job.finished {
            if condition.type == "Complete" {
                phase = .complete
            } else {
                phase = .failed(
                    reason: condition.reason ?? "Failed", message: condition.message ?? "",
                    at: min(now, condition.lastTransitionTime.map { WallTime($0) } ?? now))
            }
        } else {
            phase = .unfinished
            isSuspended = job.isSuspended
        }
        phaseSeen = now
    }

    public var isUnfinished: Bool { phase == .unfinished }

    /// Which ModelCache it belongs to. The label alone would let a Job of one namespace count in another.
    var cache: CacheID { CacheID(namespace: namespace, uid: cacheUID) }

    /// The same Job after it was seen as `before`. A failure that was seen to happen has the time of this machine's
    /// clock: waits are counted from it, and the API server's clock may be another.
    package func following(_ before: JobView, now: WallTime) -> JobView {
        guard before.uid == uid else { return self }
        var view = self
        if case .failed(let reason, let message, _) = phase {
            var at = now
            if case .failed(reason, message, let known) = before.phase { at = known }
            view.phase = .failed(reason: reason, message: message, at: at)
        }
        // An admitted Job has as long to start as a new one.
        let isSame = before.phase == view.phase && before.isSuspended == view.isSuspended
        view.phaseSeen = isSame ? before.phaseSeen : now
        return view
    }

    /// Equal in everything that a plan goes by.
    func isSame(as other: JobView) -> Bool {
        var other = other
        other.version = version
        return self == other
    }
}

/// A ModelCache as its dependents are filed under it.
struct CacheID: Hashable {
    var namespace: String
    var uid: String
}
