public import Kubernetes

/// A Job without what it runs: of ten thousand of them, each with a pod's template and its managed fields, an operator that made
/// them reads a few fields back. Read only: written, it would lose the rest.
public struct JobOutline: KubernetesResource, Hashable {
    public static let group = Job.group
    public static let version = Job.version
    public static let plural = Job.plural
    public static let kind = Job.kind
    public static let scope = Job.scope

    public struct Metadata: Codable, Sendable, Hashable {
        public var name: String?
        public var namespace: String?
        public var uid: String?
        public var resourceVersion: String?
        public var deletionTimestamp: Timestamp?
        public var labels: [String: String]?
        public var annotations: [String: String]?
        public var ownerReferences: [OwnerReference]?

        public init() {}
    }

    public struct Status: Codable, Sendable, Hashable {
        public var conditions: [Condition]?
    }

    public var metadata: Metadata
    public var status: Status?

    public init(metadata: Metadata, status: Status? = nil) {
        self.metadata = metadata
        self.status = status
    }

    public var objectKey: ObjectKey { ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "") }
    public var resourceVersion: String { metadata.resourceVersion ?? "" }
    public var uid: String { metadata.uid ?? "" }

    /// The condition that ended the Job, nil while it goes on.
    public var finished: Condition? {
        status?.conditions?.first { ($0.type == "Complete" || $0.type == "Failed") && $0.status == "True" }
    }
}
