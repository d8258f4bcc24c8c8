public import Kubernetes

/// A pod's metadata, node and phase: what tells whether the webhook saw it and where it waits. Read only.
public struct PodOutline: KubernetesResource, Hashable {
    public static let group = Pod.group
    public static let version = Pod.version
    public static let plural = Pod.plural
    public static let kind = Pod.kind
    public static let scope = Pod.scope

    public struct Spec: Codable, Sendable, Hashable {
        public var nodeName: String?

        public init(nodeName: String? = nil) { self.nodeName = nodeName }
    }

    public struct Status: Codable, Sendable, Hashable {
        public var phase: String?
        public var conditions: [Condition]?

        public init(phase: String? = nil, conditions: [Condition]? = nil) {
            self.phase = phase
            self.conditions = conditions
        }

        /// It runs, and some container does not serve yet or does not any more.
        var isUnready: Bool {
            phase == "Running" && conditions?.contains { $0.type == "Ready" && $0.status == "False" } ?? false
        }
    }

    public typealias Metadata = OutlineMetadata

    public var metadata: Metadata
    public var spec: Spec?
    public var status: Status?

    public init(metadata: Metadata, spec: Spec? = nil, status: Status? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    public var objectKey: ObjectKey { ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "") }
    public var resourceVersion: String { metadata.resourceVersion ?? "" }
    public var uid: String { metadata.uid ?? "" }
}
