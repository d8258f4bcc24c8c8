public import AgentAPI
public import Kubernetes

/// The claim and the volume through which pods reach a cache's directory: baseline and restricted Pod Security forbid hostPath in
/// a pod, not a claim whose volume is one.
public struct CacheVolume: Sendable, Hashable {
    public var owner: Owner
    public var medium: CacheDefinition.Medium
    /// What the volume says of its size; nothing enforces it here.
    public var sizeBytes: Int64

    public init(owner: Owner, medium: CacheDefinition.Medium, sizeBytes: Int64) {
        self.owner = owner
        self.medium = medium
        self.sizeBytes = max(1, sizeBytes)
    }

    public var claimName: String { Names.claim(cache: owner.name, uid: owner.uid) }
    public var volumeName: String { Names.volume(uid: owner.uid) }

    private var size: [String: Quantity] { ["storage": Quantity(stringLiteral: String(sizeBytes))] }
    private static let accessModes = ["ReadOnlyMany"]

    /// Bound to the claim by name from birth, so no other claim can take it. `type: Directory`: where no agent made the
    /// directory, a pod waits with an error that names the path rather than reading an empty one.
    public var volume: PersistentVolume {
        PersistentVolume(
            metadata: ObjectMeta(
                name: volumeName, labels: owner.labels,
                annotations: [Names.nameAnnotation: owner.name, Names.namespaceAnnotation: owner.namespace]),
            spec: PersistentVolumeSpec(
                capacity: size, accessModes: Self.accessModes, persistentVolumeReclaimPolicy: "Retain", storageClassName: "",
                volumeMode: "Filesystem",
                claimRef: ObjectReference(
                    apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: owner.namespace, name: claimName),
                hostPath: HostPathVolumeSource(path: Names.directory(uid: owner.uid, medium: medium), type: "Directory")))
    }

    public var claim: PersistentVolumeClaim {
        PersistentVolumeClaim(
            metadata: ObjectMeta(
                name: claimName, namespace: owner.namespace, labels: owner.labels,
                annotations: [Names.nameAnnotation: owner.name], ownerReferences: [owner.reference]),
            spec: PersistentVolumeClaimSpec(
                accessModes: Self.accessModes, storageClassName: "", volumeMode: "Filesystem", volumeName: volumeName,
                resources: ResourceRequirements(requests: size)))
    }
}
