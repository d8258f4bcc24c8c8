public import AgentAPI
public import CRD
public import Kubernetes

/// A warm-up Job as the plan wants it; ``manifest(_:)`` makes the API object.
public struct WarmupJob: Sendable, Equatable {
    public var name: String
    public var node: String
    public var attempt: Attempt
    /// Of the node's taints, beside those that every Job of the ModelCache tolerates.
    public var tolerations: [Kubernetes.Toleration]
    /// ``JobView/isForPods``.
    public var isForPods: Bool { !tolerations.isEmpty }

    public init(name: String, node: String, attempt: Attempt, tolerations: [Kubernetes.Toleration] = []) {
        self.name = name
        self.node = node
        self.attempt = attempt
        self.tolerations = tolerations
    }
}

/// The settings that all warm-up Jobs of one ModelCache share.
public struct WarmupTemplate: Sendable, Equatable {
    public var owner: Owner
    public var spec: CacheSpec
    /// With the endpoint filled in.
    public var source: CacheDefinition.Source
    public var image: String
    /// Settings of the pods: the operator's with the ModelCache's own over them.
    public var pods: PodTemplate
    /// For a role that the cluster gives the pods; agents have their own way.
    public var access: ServiceAccess

    public init(
        owner: Owner, spec: CacheSpec, source: CacheDefinition.Source, image: String,
        pods: PodTemplate = PodTemplate(), access: ServiceAccess = ServiceAccess()
    ) {
        self.owner = owner
        self.spec = spec
        self.source = source
        self.image = image
        self.pods = pods
        self.access = access
    }

    /// Two hours: twice the longest wait of ``Attempt/failureBackoff``, which counts from a failed Job.
    private static let secondsKeptAfterEnd: Int32 = 7200

    /// Where the claim is mounted in the Job's pod.
    private static let mountPath = "/cache"

    /// The pod passes the `restricted` Pod Security Standard
    /// (https://kubernetes.io/docs/concepts/security/pod-security-standards/) and mounts the Secret with the keys. It
    /// is pinned by node affinity, not by `nodeName`, so that the scheduler still minds taints and resources.
    public func manifest(_ job: WarmupJob) -> Job {
        let pinned = NodeSelector(nodeSelectorTerms: [
            NodeSelectorTerm(matchFields: [
                NodeSelectorRequirement(key: "metadata.name", operator: "In", values: [job.node])
            ])
        ])
        let container = Container(
            name: "warm", image: image, imagePullPolicy: "IfNotPresent", command: ["/modelcache", "warm", "--json"],
            env: environment,
            resources: WarmupPod.resources(pods),
            volumeMounts: [
                VolumeMount(
                    name: "cache", mountPath: Self.mountPath, readOnly: true, mountPropagation: "HostToContainer"),
                TokenVolume.mount,
            ] + (role == nil ? [] : [RoleTokenVolume.mount]) + [secret?.mount].compactMap { $0 }
                + (spec.givenTo == nil ? [] : access.volumes.map(\.mount)),
            securityContext: SecurityContext(
                runAsNonRoot: true, runAsUser: WarmupPod.user(pods), runAsGroup: WarmupPod.group(pods),
                allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,
                capabilities: Capabilities(drop: ["ALL"]),
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
            ] + (role == nil ? [] : [RoleTokenVolume.volume(source)]) + [secret?.volume].compactMap { $0 }
                + (spec.givenTo == nil ? [] : access.volumes.map(\.volume)),
            restartPolicy: "Never", terminationGracePeriodSeconds: 5,
            affinity: Affinity(nodeAffinity: NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution: pinned)),
            tolerations: WarmupPod.tolerations(pods, placement: spec.placement, ofNode: job.tolerations),
            serviceAccountName: role?.serviceAccount ?? spec.givenTo ?? pods.serviceAccountName,
            automountServiceAccountToken: false, enableServiceLinks: false,
            securityContext: WarmupPod.securityContext(pods),
            priorityClassName: pods.priorityClassName, imagePullSecrets: WarmupPod.pullSecrets(pods),
            runtimeClassName: pods.runtimeClassName)
        return Job(
            metadata: ObjectMeta(
                name: job.name, namespace: owner.namespace, labels: owner.labels,
                annotations: [
                    Names.nameAnnotation: owner.name, Names.nodeAnnotation: job.node,
                    Names.attemptAnnotation: job.attempt.text,
                ].merging(job.isForPods ? [Names.forPodsAnnotation: "true"] : [:]) { own, _ in own },
                ownerReferences: [owner.reference]),
            spec: JobSpec(
                parallelism: 1, completions: 1, activeDeadlineSeconds: spec.activeDeadlineSeconds.map { Int64($0) },
                backoffLimit: Int32(clamping: spec.backoffLimit),
                ttlSecondsAfterFinished: Self.secondsKeptAfterEnd,
                template: PodTemplateSpec(
                    metadata: ObjectMeta(
                        labels: WarmupPod.labels(pods, owner: owner),
                        annotations: WarmupPod.annotations(pods, owner: owner, node: job.node)
                            .merging(spec.givenTo == nil ? [:] : access.annotations) { $1 }),
                    spec: pod)))
    }

    private var role: SourceRole.Assumed? { source.role?.assumed }
    private var secret: SecretVolume? { spec.secretName.map { SecretVolume(name: $0) } }

    private var environment: [EnvVar] {
        [EnvVar(name: "MODELCACHE_SOCKET", value: "\(Self.mountPath)/.modelcache/agent.sock"), TokenVolume.variable]
            + (role == nil ? [] : [EnvVar(name: "MODELCACHE_ROLE_TOKEN_FILE", value: RoleTokenVolume.path)])
            + (secret?.variables ?? []) + SourceEnvironment.variables(source: source)
            + (spec.givenTo == nil ? [] : access.authorityVariables + GivenRole.variables(source: source, access))
    }
}
