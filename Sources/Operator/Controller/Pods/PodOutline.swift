public import Kubernetes

/// A pod's metadata, node, phase and when its containers started: what tells whether the webhook saw it, where it waits
/// and whether it starts. Read only.
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
        /// Of the state of a container.
        public struct Container: Codable, Sendable, Hashable {
            public struct State: Codable, Sendable, Hashable { public var running: Running? }
            public struct Running: Codable, Sendable, Hashable { public var startedAt: Timestamp? }

            public var state: State?

            public init(startedAt: Timestamp?) { state = State(running: Running(startedAt: startedAt)) }
        }

        public var phase: String?
        public var conditions: [Condition]?
        public var containerStatuses: [Container]?

        public init(
            phase: String? = nil, conditions: [Condition]? = nil, containerStatuses: [Container]? = nil
        ) {
            self.phase = phase
            self.conditions = conditions
            self.containerStatuses = containerStatuses
        }

        /// It is unready since after its containers started: it was ready before. One that starts is unready from
        /// before they do.
        var wasReady: Bool {
            guard let since = condition("Ready", "False")?.lastTransitionTime,
                let started = containerStatuses?.compactMap({ $0.state?.running?.startedAt }).max()
            else { return false }
            return since > started
        }

        func condition(_ type: String, _ status: String) -> Condition? {
            conditions?.first { $0.type == type && $0.status == status }
        }

        /// It runs, and some container does not serve yet or does not any more.
        var isUnready: Bool {
            phase == "Running" && condition("Ready", "False") != nil
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
