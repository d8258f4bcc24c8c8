internal import AgentAPI
public import Kubernetes

/// The projected ServiceAccount token by which a ModelCache's socket knows a pod of its namespace; the kubelet renews
/// it.
/// https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken
public enum TokenVolume {
    public static let name = "modelcache-token"
    public static let folder = "/var/run/secrets/modelcache.io"

    public static var volume: Volume {
        Volume(
            name: name,
            projected: ProjectedVolumeSource(sources: [
                VolumeProjection(
                    serviceAccountToken: ServiceAccountTokenProjection(
                        audience: CallerPolicy.defaultAudience, expirationSeconds: 3600, path: "token"))
            ]))
    }

    public static var mount: VolumeMount { VolumeMount(name: name, mountPath: folder, readOnly: true) }

    public static var variable: EnvVar { EnvVar(name: "MODELCACHE_TOKEN_FILE", value: "\(folder)/token") }
}

/// The projected token of the ServiceAccount that may assume a source's role. Its audience is STS's.
enum RoleTokenVolume {
    private static let name = "modelcache-role-token"
    private static let folder = "/var/run/secrets/modelcache.io-role"
    static let path = "\(folder)/token"

    static func volume(_ source: CacheDefinition.Source) -> Volume {
        Volume(
            name: name,
            projected: ProjectedVolumeSource(sources: [
                VolumeProjection(
                    serviceAccountToken: ServiceAccountTokenProjection(
                        audience: SourceRole.audience(uri: source.uri), expirationSeconds: 3600, path: "token"))
            ]))
    }

    static var mount: VolumeMount { VolumeMount(name: name, mountPath: folder, readOnly: true) }
}
