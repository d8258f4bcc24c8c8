/// The template of a Job's pods.
public struct PodTemplateSpec: Codable, Sendable, Hashable {
    public var metadata: ObjectMeta?
    public var spec: PodSpec?

    public init(metadata: ObjectMeta? = nil, spec: PodSpec? = nil) {
        self.metadata = metadata
        self.spec = spec
    }
}

/// A pod's specification.
public struct PodSpec: Codable, Sendable, Hashable {
    public var containers: [Container]
    public var initContainers: [Container]?
    public var volumes: [Volume]?
    /// "Always", "OnFailure" or "Never".
    public var restartPolicy: String?
    public var terminationGracePeriodSeconds: Int64?
    public var activeDeadlineSeconds: Int64?
    /// The node that the scheduler chose. Setting it bypasses the scheduler, and so its checks of taints and resources.
    public var nodeName: String?
    public var nodeSelector: [String: String]?
    public var affinity: Affinity?
    public var tolerations: [Toleration]?
    public var serviceAccountName: String?
    public var automountServiceAccountToken: Bool?
    public var enableServiceLinks: Bool?
    public var hostNetwork: Bool?
    public var securityContext: PodSecurityContext?
    public var priorityClassName: String?
    public var imagePullSecrets: [LocalObjectReference]?
    public var runtimeClassName: String?

    public init(
        containers: [Container], initContainers: [Container]? = nil, volumes: [Volume]? = nil,
        restartPolicy: String? = nil, terminationGracePeriodSeconds: Int64? = nil,
        activeDeadlineSeconds: Int64? = nil, nodeName: String? = nil, nodeSelector: [String: String]? = nil,
        affinity: Affinity? = nil, tolerations: [Toleration]? = nil, serviceAccountName: String? = nil,
        automountServiceAccountToken: Bool? = nil, enableServiceLinks: Bool? = nil, hostNetwork: Bool? = nil,
        securityContext: PodSecurityContext? = nil, priorityClassName: String? = nil,
        imagePullSecrets: [LocalObjectReference]? = nil, runtimeClassName: String? = nil
    ) {
        self.containers = containers
        self.initContainers = initContainers
        self.volumes = volumes
        self.restartPolicy = restartPolicy
        self.terminationGracePeriodSeconds = terminationGracePeriodSeconds
        self.activeDeadlineSeconds = activeDeadlineSeconds
        self.nodeName = nodeName
        self.nodeSelector = nodeSelector
        self.affinity = affinity
        self.tolerations = tolerations
        self.serviceAccountName = serviceAccountName
        self.automountServiceAccountToken = automountServiceAccountToken
        self.enableServiceLinks = enableServiceLinks
        self.hostNetwork = hostNetwork
        self.securityContext = securityContext
        self.priorityClassName = priorityClassName
        self.imagePullSecrets = imagePullSecrets
        self.runtimeClassName = runtimeClassName
    }
}

/// Security settings of all containers of a pod.
public struct PodSecurityContext: Codable, Sendable, Hashable {
    public var runAsNonRoot: Bool?
    public var runAsUser: Int64?
    public var runAsGroup: Int64?
    public var fsGroup: Int64?
    public var supplementalGroups: [Int64]?
    public var seccompProfile: SeccompProfile?

    public init(
        runAsNonRoot: Bool? = nil, runAsUser: Int64? = nil, runAsGroup: Int64? = nil, fsGroup: Int64? = nil,
        supplementalGroups: [Int64]? = nil, seccompProfile: SeccompProfile? = nil
    ) {
        self.runAsNonRoot = runAsNonRoot
        self.runAsUser = runAsUser
        self.runAsGroup = runAsGroup
        self.fsGroup = fsGroup
        self.supplementalGroups = supplementalGroups
        self.seccompProfile = seccompProfile
    }
}

/// The system calls that a container may make.
public struct SeccompProfile: Codable, Sendable, Hashable {
    /// "RuntimeDefault", "Unconfined" or "Localhost".
    public var type: String
    public var localhostProfile: String?

    public init(type: String, localhostProfile: String? = nil) {
        self.type = type
        self.localhostProfile = localhostProfile
    }
}
