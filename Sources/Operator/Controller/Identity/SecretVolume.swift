internal import Kubernetes
internal import ObjectStore

/// The Secret with a source's keys, in pods of warm-up and listing Jobs alone.
///
/// Optional, so that a pod starts without it and says what is missing. The command finds the names of the entries.
struct SecretVolume {
    private static let volumeName = "modelcache-secret"
    private static let folder = "/var/run/secrets/modelcache.io-keys"

    /// The Secret's.
    let name: String

    var volume: Volume {
        // The files belong to root, and the pod runs as another user. It has one container.
        Volume(name: Self.volumeName, secret: SecretVolumeSource(secretName: name, defaultMode: 0o444, optional: true))
    }

    var mount: VolumeMount { VolumeMount(name: Self.volumeName, mountPath: Self.folder, readOnly: true) }

    var variables: [EnvVar] {
        [
            EnvVar(name: MountedSecret.folderVariable, value: Self.folder),
            EnvVar(name: MountedSecret.nameVariable, value: name),
        ]
    }
}
