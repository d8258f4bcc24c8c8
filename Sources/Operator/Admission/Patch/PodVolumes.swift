internal import Kubernetes

/// The two volumes of an injected pod: found in it, or to be added under names that nothing else has.
struct PodVolumes {
    /// Name of the volume that is the ModelCache's claim.
    private(set) var model: String
    private(set) var token: String
    private let modelVolume: JSONValue?
    private let tokenVolume: JSONValue?

    static let audience = "modelcache.io"
    static let tokenDirectory = "/var/run/secrets/modelcache.io"
    static let tokenFile = "\(tokenDirectory)/token"

    init(_ pod: PodOutline, claim: String) {
        let volumes = pod.volumes ?? []
        // A mount of a volume that is not there makes a pod invalid; it must not come to mean one of these.
        let mounts = pod.containers.flatMap { $0.mounts ?? [] } + (pod.initContainers ?? []).flatMap { $0["volumeMounts"]?.elements ?? [] }
        var names = Set((volumes + mounts).compactMap { $0["name"]?.text })
        func free(_ name: String) -> String {
            var candidate = name
            var number = 2
            while !names.insert(candidate).inserted {
                candidate = "\(name)-\(number)"
                number += 1
            }
            return candidate
        }
        let claimSource: JSONValue = ["claimName": .string(claim), "readOnly": true]
        if let name = Self.modelVolume(in: volumes, claim: claim) {
            model = name
            modelVolume = nil
        } else {
            model = free("modelcache")
            modelVolume = ["name": .string(model), "persistentVolumeClaim": claimSource]
        }
        // Bound to the pod and renewed by the kubelet
        // (https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#serviceaccount-token-volume-projection).
        let projected: JSONValue = [
            "sources": [["serviceAccountToken": ["audience": .string(Self.audience), "expirationSeconds": 3600, "path": "token"]]]
        ]
        if let name = volumes.first(where: { $0["projected"]?.covers(projected) == true })?["name"]?.text {
            token = name
            tokenVolume = nil
        } else {
            token = free("modelcache-token")
            tokenVolume = ["name": .string(token), "projected": projected]
        }
    }

    /// The name of the volume that is this claim, read-only.
    static func modelVolume(in volumes: [JSONValue], claim: String) -> String? {
        let wanted: JSONValue = ["claimName": .string(claim), "readOnly": true]
        return volumes.first { $0["persistentVolumeClaim"]?.covers(wanted) == true }?["name"]?.text
    }

    /// What is not in the pod yet.
    var additions: [JSONValue] { [modelVolume, tokenVolume].compactMap { $0 } }

    /// An agent may mount the cache after the container started; without propagation the container would never see it.
    func modelMount(at path: String) -> JSONValue {
        ["name": .string(model), "mountPath": .string(path), "readOnly": true, "mountPropagation": "HostToContainer"]
    }

    var tokenMount: JSONValue { ["name": .string(token), "mountPath": .string(Self.tokenDirectory), "readOnly": true] }
}
