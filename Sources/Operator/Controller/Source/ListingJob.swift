public import AgentAPI
public import CRD
public import Kubernetes

/// A Job that lists a source with its credentials: the operator has no token of a role's ServiceAccount, and reads no
/// Secret.
///
/// It runs `modelcache ls --summary`, whose one line is the container's termination message. No claim and no agent is
/// needed, and the pod passes the `restricted` Pod Security Standard.
public struct ListingJob: Sendable, Equatable {
    /// For image, node and listing together.
    public static let deadlineSeconds: Int64 = 180
    static let container = "list"

    public var owner: Owner
    /// With the endpoint filled in.
    public var source: CacheDefinition.Source
    /// The Secret with the source's keys; nil: another party reads.
    public var secretName: String?
    /// ``CacheSpec/givenTo``.
    public var givenTo: String?
    public var image: String
    public var pods: PodTemplate
    public var placement: PlacementRules
    public var access: ServiceAccess

    public init(
        owner: Owner, source: CacheDefinition.Source, secretName: String? = nil, givenTo: String? = nil, image: String,
        pods: PodTemplate, placement: PlacementRules, access: ServiceAccess = ServiceAccess()
    ) {
        self.owner = owner
        self.source = source
        self.secretName = secretName
        self.givenTo = givenTo
        self.image = image
        self.pods = pods
        self.placement = placement
        self.access = access
    }

    public var key: ObjectKey {
        ObjectKey(namespace: owner.namespace, name: Names.listing(cache: owner.name, uid: owner.uid))
    }

    public var manifest: Job {
        let role = source.role?.assumed
        let (volumes, mounts) = volumes
        let container = Container(
            name: Self.container, image: image, imagePullPolicy: "IfNotPresent", command: ["/modelcache", "ls", "--summary"],
            env: environment, resources: WarmupPod.resources(pods),
            volumeMounts: mounts,
            securityContext: SecurityContext(
                runAsNonRoot: true, runAsUser: WarmupPod.user(pods), runAsGroup: WarmupPod.group(pods),
                allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,
                capabilities: Capabilities(drop: ["ALL"]), seccompProfile: SeccompProfile(type: "RuntimeDefault")),
            terminationMessagePolicy: "FallbackToLogsOnError")
        let pod = PodSpec(
            containers: [container], volumes: volumes,
            restartPolicy: "Never", terminationGracePeriodSeconds: 5,
            // Where copies may be: a node's role is that of its pool.
            nodeSelector: placement.nodeSelector.isEmpty ? nil : placement.nodeSelector,
            affinity: placement.affinity.map { Affinity(nodeAffinity: $0) },
            tolerations: WarmupPod.tolerations(pods, placement: placement),
            serviceAccountName: role?.serviceAccount ?? givenTo ?? pods.serviceAccountName,
            automountServiceAccountToken: false, enableServiceLinks: false,
            securityContext: WarmupPod.securityContext(pods), priorityClassName: pods.priorityClassName,
            imagePullSecrets: WarmupPod.pullSecrets(pods), runtimeClassName: pods.runtimeClassName)
        // Not the label of warm-up Jobs: ``ListingJobView`` knows this one by its component.
        var labels = owner.labels
        labels[Names.uidLabel] = nil
        labels[Names.componentLabel] = Names.listingComponent
        return Job(
            metadata: ObjectMeta(
                name: key.name, namespace: key.namespace, labels: labels,
                annotations: [Names.nameAnnotation: owner.name], ownerReferences: [owner.reference]),
            spec: JobSpec(
                parallelism: 1, completions: 1, activeDeadlineSeconds: Self.deadlineSeconds, backoffLimit: 0,
                ttlSecondsAfterFinished: 600,
                template: PodTemplateSpec(
                    metadata: ObjectMeta(
                        labels: WarmupPod.injectorLabels.merging(pods.labels) { $1 }.merging(labels) { $1 },
                        annotations: WarmupPod.injectorAnnotations.merging(pods.annotations) { $1 }
                            .merging(access.annotations) { $1 }),
                    spec: pod)))
    }

    private var secret: SecretVolume? { secretName.map { SecretVolume(name: $0) } }

    private var volumes: (volumes: [Volume], mounts: [VolumeMount]) {
        var all: [(volume: Volume, mount: VolumeMount)] = []
        if source.role?.assumed != nil { all.append((RoleTokenVolume.volume(source), RoleTokenVolume.mount)) }
        if let secret { all.append((secret.volume, secret.mount)) }
        all += access.volumes
        return (all.map(\.volume), all.map(\.mount))
    }

    private var environment: [EnvVar] {
        var all = SourceEnvironment.variables(source: source) + access.proxyVariables
            + access.authorityVariables
        func add(_ name: String, _ value: String?) { if let value { all.append(EnvVar(name: name, value: value)) } }
        if let secret { return all + secret.variables }
        if givenTo != nil { return all + GivenRole.variables(source: source, access) }
        guard let role = source.role?.assumed else {
            add("MODELCACHE_CREDENTIALS", "node")
            return all
        }
        let isRAM = role.providerARN != nil
        all += access.sts(ofOSS: isRAM)
        add(isRAM ? "ALIBABA_CLOUD_ROLE_ARN" : "AWS_ROLE_ARN", role.roleARN)
        add("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", role.providerARN)
        add(isRAM ? "ALIBABA_CLOUD_OIDC_TOKEN_FILE" : "AWS_WEB_IDENTITY_TOKEN_FILE", RoleTokenVolume.path)
        add("MODELCACHE_SESSION_SECONDS", role.sessionSeconds.map { "\($0)" })
        return all
    }
}
