public import Kubernetes

/// A pod's metadata and phase: what tells whether the webhook saw it. Read only: written, it would lose the rest.
public struct PodOutline: KubernetesResource, Hashable {
    public static let group = Pod.group
    public static let version = Pod.version
    public static let plural = Pod.plural
    public static let kind = Pod.kind
    public static let scope = Pod.scope

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
        public var phase: String?

        public init(phase: String? = nil) { self.phase = phase }
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
}
