internal import Kubernetes

/// What the plan needs of a warm-up Job.
public struct JobView: Sendable, Hashable {
    public enum Phase: Sendable, Hashable {
        case unfinished
        case complete
        /// `reason` is the Job controller's: BackoffLimitExceeded, DeadlineExceeded.
        case failed(reason: String, message: String, at: WallTime)
    }

    public var name: String
    public var namespace: String
    public var uid: String
    /// Numeric part of `metadata.resourceVersion`, to tell older from newer.
    public var version: UInt64
    /// uid of the ModelCache.
    public var cacheUID: String
    public var node: String
    public var phase: Phase
    public var isDeleting: Bool
    public var attempt: Attempt
    /// When this operator first saw the Job in ``phase``: a report from before then says nothing of its outcome.
    public var phaseSeen: WallTime

    public init(
        name: String, namespace: String, uid: String, version: UInt64 = 0, cacheUID: String, node: String,
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

    /// Nil for a Job that is not one of ours after all.
    public init?(_ job: JobOutline, now: WallTime) {
        guard let cacheUID = job.metadata.labels?[Names.uidLabel], let node = job.metadata.annotations?[Names.nodeAnnotation]
        else { return nil }
        name = job.objectKey.name
        namespace = job.objectKey.namespace
        uid = job.uid
        version = UInt64(job.resourceVersion) ?? 0
        self.cacheUID = cacheUID
        self.node = node
        isDeleting = job.metadata.deletionTimestamp != nil
        attempt = Attempt(text: job.metadata.annotations?[Names.attemptAnnotation] ?? "")
        if let condition = job.finished {
            if condition.type == "Complete" {
                phase = .complete
            } else {
                phase = .failed(
                    reason: condition.reason ?? "Failed", message: condition.message ?? "",
                    at: condition.lastTransitionTime.map { WallTime($0) } ?? now)
            }
        } else {
            phase = .unfinished
        }
        phaseSeen = now
    }

    public var isUnfinished: Bool { phase == .unfinished }

    /// Equal in everything that a plan goes by.
    func isSame(as other: JobView) -> Bool {
        var other = other
        other.version = version
        return self == other
    }
}
