internal import Foundation
internal import Kubernetes
internal import RangeTransfer

/// The way of Jobs' pods to stores and to the services that give roles: the operator's own, since a tenant's namespace
/// names none. The same for all Jobs of one operator.
public struct ServiceAccess: Sendable, Equatable {
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

    /// The way that the operator's environment names. A proxy's password stays with the operator: the Job's namespace
    /// may not know it.
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

    /// Of the way to stores. Services that give roles are asked through no proxy.
    var proxyVariables: [EnvVar] {
        proxies.sorted { $0.key < $1.key }.map { EnvVar(name: $0.key, value: $0.value) }
    }

    var authorityVariables: [EnvVar] {
        authorities == nil ? [] : [EnvVar(name: "SSL_CERT_FILE", value: AuthoritiesVolume.path)]
    }

    /// The variable that names ``stsEndpoint``; empty without one.
    func sts(ofOSS isOSS: Bool) -> [EnvVar] {
        stsEndpoint.map { [EnvVar(name: isOSS ? "ALIBABA_CLOUD_STS_ENDPOINT" : "AWS_ENDPOINT_URL_STS", value: $0)] } ?? []
    }

    var volumes: [(volume: Volume, mount: VolumeMount)] {
        authorities == nil ? [] : [(AuthoritiesVolume.volume, AuthoritiesVolume.mount)]
    }

    /// Of the pod.
    var annotations: [String: String] { authorities.map { [AuthoritiesVolume.annotation: $0] } ?? [:] }
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
