public import AgentAPI
public import CRD
internal import Foundation
public import Kubernetes
internal import RangeTransfer

/// A Job that lists a source with its credentials: the operator has no token of a role's ServiceAccount, and reads no
/// Secret.
///
/// It runs `modelcache ls --summary`, whose one line is the container's termination message. No claim and no agent is
/// needed, and the pod passes the `restricted` Pod Security Standard.
public struct ListingJob: Sendable, Equatable {
    /// For image, node and listing together.
    public static let deadlineSeconds: Int64 = 180
    static let container = "list"

    /// The same for all Jobs of one operator.
    public struct Settings: Sendable, Equatable {
        /// The STS that roles are assumed at; nil: that of the source's region.
        public var stsEndpoint: String?
        /// Variables of ``ProxySettings``: the operator's own.
        public var proxies: [String: String]
        /// Certificates that the operator trusts in place of the system's, in PEM; nil: the system's.
        public var authorities: String?

        public init(stsEndpoint: String? = nil, proxies: [String: String] = [:], authorities: String? = nil) {
            self.stsEndpoint = stsEndpoint
            self.proxies = proxies
            self.authorities = authorities
        }

        /// All annotations of an object may have 256 KiB.
        private static let mostAuthorities = 240 << 10

        /// The way to the store that the operator's environment names. A proxy's password stays with the operator: the
        /// Job's namespace may not know it.
        public init(stsEndpoint: String?, environment: [String: String]) {
            self.init(
                stsEndpoint: stsEndpoint,
                proxies: environment.filter {
                    ProxySettings.variables.contains($0.key) && !$0.value.isEmpty && !$0.value.contains("@")
                })
            guard let path = environment["SSL_CERT_FILE"], let file = FileHandle(forReadingAtPath: path),
                let data = try? file.read(upToCount: Self.mostAuthorities + 1), data.count <= Self.mostAuthorities
            else { return }
            authorities = String(data: data, encoding: .utf8)
        }
    }

    public var owner: Owner
    /// With the endpoint filled in.
    public var source: CacheDefinition.Source
    /// The Secret with the source's keys; nil: the source names a role.
    public var secretName: String?
    public var image: String
    public var pods: PodTemplate
    public var placement: PlacementRules
    public var settings: Settings

    public init(
        owner: Owner, source: CacheDefinition.Source, secretName: String? = nil, image: String, pods: PodTemplate,
        placement: PlacementRules, settings: Settings = Settings()
    ) {
        self.owner = owner
        self.source = source
        self.secretName = secretName
        self.image = image
        self.pods = pods
        self.placement = placement
        self.settings = settings
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
            serviceAccountName: role?.serviceAccount ?? pods.serviceAccountName,
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
                            .merging(settings.authorities.map { [AuthoritiesVolume.annotation: $0] } ?? [:]) { $1 }),
                    spec: pod)))
    }

    private var secret: SecretVolume? { secretName.map { SecretVolume(name: $0) } }

    private var volumes: (volumes: [Volume], mounts: [VolumeMount]) {
        var all: [(volume: Volume, mount: VolumeMount)] = []
        if source.role?.assumed != nil { all.append((RoleTokenVolume.volume(source), RoleTokenVolume.mount)) }
        if let secret { all.append((secret.volume, secret.mount)) }
        if settings.authorities != nil { all.append((AuthoritiesVolume.volume, AuthoritiesVolume.mount)) }
        return (all.map(\.volume), all.map(\.mount))
    }

    private var environment: [EnvVar] {
        var all = SourceEnvironment.variables(source: source)
        func add(_ name: String, _ value: String?) { if let value { all.append(EnvVar(name: name, value: value)) } }
        for (name, value) in settings.proxies.sorted(by: { $0.key < $1.key }) { add(name, value) }
        add("SSL_CERT_FILE", settings.authorities.map { _ in AuthoritiesVolume.path })
        if let secret { return all + secret.variables }
        guard let role = source.role?.assumed else {
            add("MODELCACHE_CREDENTIALS", "node")
            return all
        }
        let isRAM = role.providerARN != nil
        add(isRAM ? "ALIBABA_CLOUD_STS_ENDPOINT" : "AWS_ENDPOINT_URL_STS", settings.stsEndpoint)
        add(isRAM ? "ALIBABA_CLOUD_ROLE_ARN" : "AWS_ROLE_ARN", role.roleARN)
        add("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", role.providerARN)
        add(isRAM ? "ALIBABA_CLOUD_OIDC_TOKEN_FILE" : "AWS_WEB_IDENTITY_TOKEN_FILE", RoleTokenVolume.path)
        add("MODELCACHE_SESSION_SECONDS", role.sessionSeconds.map { "\($0)" })
        return all
    }
}

/// The certificates that the operator trusts, in a pod of another namespace: an annotation of the pod as a file, since
/// the ConfigMap that they came from is not there.
private enum AuthoritiesVolume {
    static let annotation = "modelcache.io/authorities"
    private static let name = "modelcache-authorities"
    private static let folder = "/var/run/modelcache.io-authorities"
    static let path = "\(folder)/ca.crt"

    static var volume: Volume {
        let field = FieldSelectorReference(fieldPath: "metadata.annotations['\(annotation)']")
        return Volume(
            name: name,
            projected: ProjectedVolumeSource(sources: [
                VolumeProjection(downwardAPI: DownwardAPIProjection(items: [.init(path: "ca.crt", fieldRef: field)]))
            ]))
    }

    static var mount: VolumeMount { VolumeMount(name: name, mountPath: folder, readOnly: true) }
}
