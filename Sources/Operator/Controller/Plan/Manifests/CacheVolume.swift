public import AgentAPI
public import Kubernetes

/// The claim and the volume through which pods reach a cache's directory: baseline and restricted Pod Security forbid
/// hostPath in a pod, not a claim whose volume is one.
///
/// The claim is made first and chooses its volume by label; the volume names the claim with its uid. The cluster's
/// binder, which may see them in either order, then binds them as soon as it has seen both: a volume that is bound to a
/// claim still pending makes it look at that claim at once. A claim that named its volume would wait for the binder's
/// next round, 15 s, whenever it was seen before it (pkg/controller/volume/persistentvolume, syncVolume and
/// syncUnboundClaim).
public struct CacheVolume: Sendable, Hashable {
    public var owner: Owner
    public var medium: CacheDefinition.Medium
    /// The size that the volume states; nothing enforces it here.
    public var sizeBytes: Int64

    /// The nodes' folder for models on disk.
    public var diskPath: String

    public init(
        owner: Owner, medium: CacheDefinition.Medium, sizeBytes: Int64, diskPath: String = Names.standardDiskPath
    ) {
        self.diskPath = diskPath
        self.owner = owner
        self.medium = medium
        self.sizeBytes = max(1, sizeBytes)
    }

    public var claimName: String { Names.claim(cache: owner.name, uid: owner.uid) }
    public var volumeName: String { Names.volume(uid: owner.uid) }

    private var size: [String: Quantity] { ["storage": Quantity(stringLiteral: String(sizeBytes))] }
    private static let accessModes = ["ReadOnlyMany"]

    /// Bound to the claim from birth, so no other claim can take it. `type: Directory`: where no agent made the
    /// directory, a pod waits with an error that names the path rather than reading an empty one.
    ///
    /// - Parameter claimUID: of the claim that is there.
    public func volume(claimUID: String?) -> PersistentVolume {
        PersistentVolume(
            metadata: ObjectMeta(
                name: volumeName, labels: owner.labels,
                annotations: [Names.nameAnnotation: owner.name, Names.namespaceAnnotation: owner.namespace]),
            spec: PersistentVolumeSpec(
                capacity: size, accessModes: Self.accessModes, persistentVolumeReclaimPolicy: "Retain",
                storageClassName: "",
                volumeMode: "Filesystem",
                claimRef: ObjectReference(
                    apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: owner.namespace, name: claimName,
                    uid: claimUID),
                hostPath: HostPathVolumeSource(
                    path: Names.directory(
                        uid: owner.uid, medium: medium,
                        diskPath: diskPath), type: "Directory")))
    }

    /// The label makes it find its own volume alone. It asks for one byte: the bytes are the agents' and no storage
    /// class's, so they must not count against the namespace's storage quota.
    public var claim: PersistentVolumeClaim {
        PersistentVolumeClaim(
            metadata: ObjectMeta(
                name: claimName, namespace: owner.namespace, labels: owner.labels,
                annotations: [Names.nameAnnotation: owner.name], ownerReferences: [owner.reference]),
            spec: PersistentVolumeClaimSpec(
                accessModes: Self.accessModes, storageClassName: "", volumeMode: "Filesystem",
                selector: LabelSelector(matchLabels: [Names.uidLabel: owner.uid]),
                resources: ResourceRequirements(requests: ["storage": "1"])))
    }
}
