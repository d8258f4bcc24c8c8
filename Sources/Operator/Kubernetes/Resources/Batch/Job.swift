/// A Job: pods that run to completion.
public struct Job: MetadataResource, Hashable {
    public static let group = "batch"
    public static let version = "v1"
    public static let plural = "jobs"
    public static let kind = "Job"
    public static let scope = ResourceScope.namespaced

    public var metadata: ObjectMeta
    public var spec: JobSpec?
    public var status: JobStatus?

    public init(metadata: ObjectMeta = ObjectMeta(), spec: JobSpec? = nil, status: JobStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// A Job's pods, their number, and when to give up.
public struct JobSpec: Codable, Sendable, Hashable {
    public var parallelism: Int32?
    public var completions: Int32?
    public var activeDeadlineSeconds: Int64?
    public var backoffLimit: Int32?
    /// Behind a feature gate before Kubernetes 1.21; an older server drops it.
    public var ttlSecondsAfterFinished: Int32?
    /// Behind a feature gate before Kubernetes 1.22; an older server drops it.
    public var suspend: Bool?
    public var selector: LabelSelector?
    public var manualSelector: Bool?
    public var template: PodTemplateSpec

    public init(
        parallelism: Int32? = nil, completions: Int32? = nil, activeDeadlineSeconds: Int64? = nil,
        backoffLimit: Int32? = nil, ttlSecondsAfterFinished: Int32? = nil, suspend: Bool? = nil,
        selector: LabelSelector? = nil, manualSelector: Bool? = nil, template: PodTemplateSpec
    ) {
        self.parallelism = parallelism
        self.completions = completions
        self.activeDeadlineSeconds = activeDeadlineSeconds
        self.backoffLimit = backoffLimit
        self.ttlSecondsAfterFinished = ttlSecondsAfterFinished
        self.suspend = suspend
        self.selector = selector
        self.manualSelector = manualSelector
        self.template = template
    }
}

/// The progress of a Job.
public struct JobStatus: Codable, Sendable, Hashable {
    /// "Complete" or "Failed" when it has ended; "Suspended".
    public var conditions: [Condition]?
    public var startTime: Timestamp?
    public var completionTime: Timestamp?
    public var active: Int32?
    public var succeeded: Int32?
    public var failed: Int32?

    public init(
        conditions: [Condition]? = nil, startTime: Timestamp? = nil, completionTime: Timestamp? = nil,
        active: Int32? = nil, succeeded: Int32? = nil, failed: Int32? = nil
    ) {
        self.conditions = conditions
        self.startTime = startTime
        self.completionTime = completionTime
        self.active = active
        self.succeeded = succeeded
        self.failed = failed
    }
}

extension Job {
    /// The condition that ended the Job ("Complete" or "Failed" with status "True"); nil while it runs.
    public var finished: Condition? {
        status?.conditions?.first { ($0.type == "Complete" || $0.type == "Failed") && $0.status == "True" }
    }
}
