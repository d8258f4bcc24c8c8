public import AgentAPI
public import Kubernetes

/// A warm-up Job as the plan wants it; ``manifest(_:)`` makes the API object.
public struct WarmupJob: Sendable, Equatable {
    public var name: String
    public var node: String
    public var attempt: Attempt

    public init(name: String, node: String, attempt: Attempt) {
        self.name = name
        self.node = node
        self.attempt = attempt
    }
}

/// What all warm-up Jobs of one ModelCache have in common.
public struct WarmupTemplate: Sendable, Equatable {
    public var owner: Owner
    public var spec: CacheSpec
    /// With the endpoint filled in.
    public var source: CacheDefinition.Source
    /// Names of the Secret's entries; nil: anonymous.
    public var secret: SecretView?
    public var image: String

    public init(owner: Owner, spec: CacheSpec, source: CacheDefinition.Source, secret: SecretView?, image: String) {
        self.owner = owner
        self.spec = spec
        self.source = source
        self.secret = secret
        self.image = image
    }

    /// Where the claim is mounted in the Job's pod.
    private static let mountPath = "/cache"

    /// The pod passes the `restricted` Pod Security Standard
    /// (https://kubernetes.io/docs/concepts/security/pod-security-standards/) and carries the names of the Secret's entries,
    /// never their values. It is pinned by node affinity, not by `nodeName`, so that the scheduler still minds taints and
    /// resources.
    public func manifest(_ job: WarmupJob) -> Job {
        let pinned = NodeSelector(nodeSelectorTerms: [
            NodeSelectorTerm(matchFields: [NodeSelectorRequirement(key: "metadata.name", operator: "In", values: [job.node])])
        ])
        let container = Container(
            name: "warm", image: image, imagePullPolicy: "IfNotPresent", command: ["/modelcache", "warm", "--json"],
            env: environment,
            resources: ResourceRequirements(requests: ["cpu": "10m", "memory": "32Mi"], limits: ["memory": "128Mi"]),
            volumeMounts: [
                VolumeMount(name: "cache", mountPath: Self.mountPath, readOnly: true, mountPropagation: "HostToContainer"),
                TokenVolume.mount,
            ],
            securityContext: SecurityContext(
                runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true, capabilities: Capabilities(drop: ["ALL"]),
                seccompProfile: SeccompProfile(type: "RuntimeDefault")),
            terminationMessagePolicy: "FallbackToLogsOnError")
        let pod = PodSpec(
            containers: [container],
            volumes: [
                Volume(
                    name: "cache",
                    persistentVolumeClaim: PersistentVolumeClaimVolumeSource(
                        claimName: Names.claim(cache: owner.name, uid: owner.uid), readOnly: true)),
                TokenVolume.volume,
            ],
            restartPolicy: "Never", terminationGracePeriodSeconds: 5,
            affinity: Affinity(nodeAffinity: NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution: pinned)),
            tolerations: spec.placement.tolerations.isEmpty ? nil : spec.placement.tolerations,
            automountServiceAccountToken: false, enableServiceLinks: false,
            securityContext: PodSecurityContext(
                runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: SeccompProfile(type: "RuntimeDefault")))
        return Job(
            metadata: ObjectMeta(
                name: job.name, namespace: owner.namespace, labels: owner.labels,
                annotations: [
                    Names.nameAnnotation: owner.name, Names.nodeAnnotation: job.node,
                    Names.attemptAnnotation: job.attempt.text,
                ],
                ownerReferences: [owner.reference]),
            spec: JobSpec(
                parallelism: 1, completions: 1, activeDeadlineSeconds: spec.activeDeadlineSeconds.map { Int64($0) },
                backoffLimit: Int32(clamping: spec.backoffLimit),
                template: PodTemplateSpec(
                    metadata: ObjectMeta(
                        labels: owner.labels,
                        annotations: [Names.nameAnnotation: owner.name, Names.nodeAnnotation: job.node]),
                    spec: pod)))
    }

    private var environment: [EnvVar] {
        [EnvVar(name: "MODELCACHE_SOCKET", value: "\(Self.mountPath)/.modelcache/agent.sock"), TokenVolume.variable]
            + SourceEnvironment.variables(source: source, secret: secret, keysAreOptional: false)
    }
}
