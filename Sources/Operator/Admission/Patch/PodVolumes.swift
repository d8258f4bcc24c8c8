internal import Kubernetes

/// The volumes of an injected pod, one for each ModelCache and one for the token: found in it, or to be added under
/// names that nothing else has.
struct PodVolumes {
    /// Names of the volumes by ModelCaches' claims.
    private var models: [String: String] = [:]
    private let token: String
    /// Nothing; mounted over the folders in which a cache keeps what is not complete.
    private let empty: String
    /// The volumes that the pod does not have yet.
    private(set) var additions: [JSONValue] = []

    static let audience = "modelcache.io"
    static let tokenDirectory = "/var/run/secrets/modelcache.io"
    static let tokenFile = "\(tokenDirectory)/token"

    /// A cache's folders of files under way and of their presence maps (`agent_wire.h`). The library reads them. A
    /// program without it would take the files in them for models: `find -name '*.gguf'`, `--models-dir`.
    static let hiddenFolders = [".partial", ".presence"]

    init(_ pod: PodOutline, claims: [String], mode: InjectionMode) {
        let volumes = pod.volumes ?? []
        // A mount of a volume that is not there makes a pod invalid; it must not come to mean one of these.
        let mounts =
            pod.containers.flatMap { $0.mounts ?? [] }
            + (pod.initContainers ?? []).flatMap { $0["volumeMounts"]?.elements ?? [] }
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
        for claim in claims {
            if let name = Self.modelVolume(in: volumes, claim: claim) {
                models[claim] = name
                continue
            }
            let name = free("modelcache")
            models[claim] = name
            additions.append([
                "name": .string(name), "persistentVolumeClaim": ["claimName": .string(claim), "readOnly": true],
            ])
        }
        // Bound to the pod and renewed by the kubelet
        // (Kubernetes documentation, Configure Service Accounts for Pods, ServiceAccount token volume projection).
        let projected: JSONValue = [
            "sources": [
                [
                    "serviceAccountToken": [
                        "audience": .string(Self.audience), "expirationSeconds": 3600, "path": "token",
                    ]
                ]
            ]
        ]
        if let name = volumes.first(where: { $0["projected"]?.covers(projected) == true })?["name"]?.text {
            token = name
        } else {
            token = free("modelcache-token")
            additions.append(["name": .string(token), "projected": projected])
        }
        let nothing: JSONValue = ["sizeLimit": "1Mi"]
        if let name = volumes.first(where: { $0["emptyDir"]?.covers(nothing) == true })?["name"]?.text {
            empty = name
        } else {
            empty = free("modelcache-empty")
            if mode == .wait { additions.append(["name": .string(empty), "emptyDir": nothing]) }
        }
    }

    /// The name of the volume that is this claim, read-only.
    static func modelVolume(in volumes: [JSONValue], claim: String) -> String? {
        let wanted: JSONValue = ["claimName": .string(claim), "readOnly": true]
        return volumes.first { $0["persistentVolumeClaim"]?.covers(wanted) == true }?["name"]?.text
    }

    /// Name of the volume that is the ModelCache's claim; the ModelCache is one of those given to the initializer.
    func volume(of target: InjectionTarget) -> String { models[target.claimName] ?? "" }

    /// An agent may mount the cache after the container started; without propagation the container would never see it.
    func modelMount(of target: InjectionTarget, at path: String) -> JSONValue {
        [
            "name": .string(volume(of: target)), "mountPath": .string(path), "readOnly": true,
            "mountPropagation": "HostToContainer",
        ]
    }

    /// The model is complete when these are mounted, so that the folders are there to be mounted over.
    func hidingMounts(at path: String) -> [JSONValue] {
        Self.hiddenFolders.map { folder in
            ["name": .string(empty), "mountPath": .string("\(path)/\(folder)"), "readOnly": true]
        }
    }

    var tokenMount: JSONValue { ["name": .string(token), "mountPath": .string(Self.tokenDirectory), "readOnly": true] }
}
