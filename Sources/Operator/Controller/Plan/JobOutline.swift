public import Kubernetes

/// A Job without what it runs: of ten thousand of them, each with a pod's template and its managed fields, an operator
/// that made them reads a few fields back.
public typealias JobOutline = Outline<Job, JobConditions>

/// Of a Job's status.
public struct JobConditions: Codable, Sendable, Hashable {
    public var conditions: [Condition]?

    public init(conditions: [Condition]? = nil) { self.conditions = conditions }
}

extension Outline where Whole == Job, Status == JobConditions {
    /// The condition that ended the Job, nil while it goes on.
    public var finished: Condition? {
        status?.conditions?.first { ($0.type == "Complete" || $0.type == "Failed") && $0.status == "True" }
    }

    /// The Job controller has seen `spec.suspend`.
    public var isSuspended: Bool {
        status?.conditions?.contains { $0.type == "Suspended" && $0.status == "True" } ?? false
    }
}
