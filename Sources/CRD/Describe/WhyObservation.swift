/// The objects that `kubectl modelcache why` could read, as plain values, so that `Why` needs no API.
public struct WhyObservation: Sendable {
    /// The Secret that `spec.source.credentials.secretRef` names.
    public enum Secret: Sendable, Equatable {
        case notNeeded
        case missing
        /// The Secret exists; the names of its keys, never the values.
        case keys([String])
        /// The caller may not read it.
        case hidden
    }

    /// A pod, as far as it tells why it does not work.
    public struct PodState: Sendable, Equatable {
        public var name: String
        public var node: String?
        public var isReady: Bool
        /// `Pending`, `Running`, …
        public var phase: String
        /// The scheduler's or kubelet's reason: `Unschedulable`, `ImagePullBackOff`, `OOMKilled`, …
        public var reason: String?
        public var message: String?
        public var restarts: Int

        public init(
            name: String, node: String?, isReady: Bool, phase: String, reason: String? = nil, message: String? = nil,
            restarts: Int = 0
        ) {
            self.name = name
            self.node = node
            self.isReady = isReady
            self.phase = phase
            self.reason = reason
            self.message = message
            self.restarts = restarts
        }
    }

    /// A warm-up Job and its newest pod.
    public struct Warmup: Sendable, Equatable {
        public var name: String
        public var node: String
        /// Reason and message of its Failed condition.
        public var failure: (reason: String, message: String)?
        public var isComplete: Bool
        /// A queue of Jobs has not admitted it.
        public var isSuspended = false
        public var failedPods: Int
        public var pod: PodState?

        public init(
            name: String, node: String, failure: (reason: String, message: String)? = nil, isComplete: Bool = false,
            failedPods: Int = 0, pod: PodState? = nil
        ) {
            self.name = name
            self.node = node
            self.failure = failure
            self.isComplete = isComplete
            self.failedPods = failedPods
            self.pod = pod
        }

        public static func == (left: Self, right: Self) -> Bool {
            left.name == right.name && left.node == right.node && left.isComplete == right.isComplete
                && left.isSuspended == right.isSuspended
                && left.failedPods == right.failedPods && left.pod == right.pod
                && left.failure?.reason == right.failure?.reason && left.failure?.message == right.failure?.message
        }
    }

    /// A Warning Event on the ModelCache or its Jobs, the newest first.
    public struct Warning: Sendable, Equatable {
        public var reason: String
        public var message: String
        public var count: Int
        /// Seconds since it was last seen.
        public var age: Int64?

        public init(reason: String, message: String, count: Int = 1, age: Int64? = nil) {
            self.reason = reason
            self.message = message
            self.count = count
            self.age = age
        }
    }

    /// A pod that names the ModelCache and did not get it.
    public struct UnservedPod: Sendable, Equatable {
        public var name: String
        /// The status that the webhook wrote into it; nil: the webhook never saw it.
        public var status: String?
        /// Kind and name of the controller that creates it again after a deletion.
        public var controller: String?

        public init(name: String, status: String? = nil, controller: String? = nil) {
            self.name = name
            self.status = status
            self.controller = controller
        }
    }

    public var model: ModelCache
    public var secret: Secret
    /// Nil: the caller may not read pods in the system namespace.
    public var agents: [PodState]?
    public var operators: [PodState]?
    public var systemNamespace: String
    public var warmups: [Warmup]
    public var warnings: [Warning]
    public var unservedPods: [UnservedPod]
    /// The objects that could not be read, and why.
    public var blindSpots: [String]

    public init(
        model: ModelCache, secret: Secret = .notNeeded, agents: [PodState]? = nil, operators: [PodState]? = nil,
        systemNamespace: String = "modelcache-system", warmups: [Warmup] = [], warnings: [Warning] = [],
        unservedPods: [UnservedPod] = [], blindSpots: [String] = []
    ) {
        self.model = model
        self.secret = secret
        self.agents = agents
        self.operators = operators
        self.systemNamespace = systemNamespace
        self.warmups = warmups
        self.warnings = warnings
        self.unservedPods = unservedPods
        self.blindSpots = blindSpots
    }
}
