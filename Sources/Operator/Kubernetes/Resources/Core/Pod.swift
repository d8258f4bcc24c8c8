/// A pod: its specification and its status.
public struct Pod: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "pods"
    public static let kind = "Pod"
    public static let scope = ResourceScope.namespaced

    public var metadata: ObjectMeta
    public var spec: PodSpec?
    public var status: PodStatus?

    public init(metadata: ObjectMeta = ObjectMeta(), spec: PodSpec? = nil, status: PodStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The reports of the kubelet and the scheduler about a pod.
public struct PodStatus: Codable, Sendable, Hashable {
    /// "Pending", "Running", "Succeeded", "Failed" or "Unknown".
    public var phase: String?
    public var conditions: [Condition]?
    public var message: String?
    /// Of a failed pod: "Evicted", "NodeLost", "NodeAffinity", ...
    public var reason: String?
    public var hostIP: String?
    public var podIP: String?
    public var podIPs: [PodIP]?
    public var startTime: Timestamp?
    public var initContainerStatuses: [ContainerStatus]?
    public var containerStatuses: [ContainerStatus]?

    public init(
        phase: String? = nil, conditions: [Condition]? = nil, message: String? = nil, reason: String? = nil,
        hostIP: String? = nil, podIP: String? = nil, podIPs: [PodIP]? = nil, startTime: Timestamp? = nil,
        initContainerStatuses: [ContainerStatus]? = nil, containerStatuses: [ContainerStatus]? = nil
    ) {
        self.phase = phase
        self.conditions = conditions
        self.message = message
        self.reason = reason
        self.hostIP = hostIP
        self.podIP = podIP
        self.podIPs = podIPs
        self.startTime = startTime
        self.initContainerStatuses = initContainerStatuses
        self.containerStatuses = containerStatuses
    }
}

/// One of the pod's addresses.
public struct PodIP: Codable, Sendable, Hashable {
    public var ip: String?

    public init(ip: String? = nil) {
        self.ip = ip
    }
}

/// The status of one container.
public struct ContainerStatus: Codable, Sendable, Hashable {
    public var name: String
    public var ready: Bool?
    public var started: Bool?
    public var restartCount: Int32?
    public var image: String?
    public var state: ContainerState?
    public var lastState: ContainerState?

    public init(
        name: String, ready: Bool? = nil, started: Bool? = nil, restartCount: Int32? = nil,
        image: String? = nil, state: ContainerState? = nil, lastState: ContainerState? = nil
    ) {
        self.name = name
        self.ready = ready
        self.started = started
        self.restartCount = restartCount
        self.image = image
        self.state = state
        self.lastState = lastState
    }
}

/// At most one of the three is set; none means waiting.
public struct ContainerState: Codable, Sendable, Hashable {
    public var waiting: ContainerStateWaiting?
    public var running: ContainerStateRunning?
    public var terminated: ContainerStateTerminated?

    public init(
        waiting: ContainerStateWaiting? = nil, running: ContainerStateRunning? = nil,
        terminated: ContainerStateTerminated? = nil
    ) {
        self.waiting = waiting
        self.running = running
        self.terminated = terminated
    }
}

/// Why a container has not started: "ImagePullBackOff", "CreateContainerConfigError", ...
public struct ContainerStateWaiting: Codable, Sendable, Hashable {
    public var reason: String?
    public var message: String?

    public init(reason: String? = nil, message: String? = nil) {
        self.reason = reason
        self.message = message
    }
}

/// When the container started.
public struct ContainerStateRunning: Codable, Sendable, Hashable {
    public var startedAt: Timestamp?

    public init(startedAt: Timestamp? = nil) {
        self.startedAt = startedAt
    }
}

/// How the container ended.
public struct ContainerStateTerminated: Codable, Sendable, Hashable {
    public var exitCode: Int32
    public var signal: Int32?
    /// "Completed", "Error", "OOMKilled", ...
    public var reason: String?
    /// The termination message, or the end of the log (`terminationMessagePolicy`).
    public var message: String?
    public var startedAt: Timestamp?
    public var finishedAt: Timestamp?

    public init(
        exitCode: Int32, signal: Int32? = nil, reason: String? = nil, message: String? = nil,
        startedAt: Timestamp? = nil, finishedAt: Timestamp? = nil
    ) {
        self.exitCode = exitCode
        self.signal = signal
        self.reason = reason
        self.message = message
        self.startedAt = startedAt
        self.finishedAt = finishedAt
    }
}

extension Pod {
    /// Whether the pod's readiness probes pass, as Services see it.
    public var isReady: Bool {
        status?.conditions?.contains { $0.type == "Ready" && $0.status == "True" } ?? false
    }
}
