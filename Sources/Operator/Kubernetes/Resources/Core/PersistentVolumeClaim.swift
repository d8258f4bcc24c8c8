/// A namespace's claim to a volume.
public struct PersistentVolumeClaim: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "persistentvolumeclaims"
    public static let kind = "PersistentVolumeClaim"
    public static let scope = ResourceScope.namespaced

    public var metadata: ObjectMeta
    public var spec: PersistentVolumeClaimSpec?
    public var status: PersistentVolumeClaimStatus?

    public init(
        metadata: ObjectMeta = ObjectMeta(), spec: PersistentVolumeClaimSpec? = nil,
        status: PersistentVolumeClaimStatus? = nil
    ) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The requested volume. An empty `storageClassName` requests no provisioner.
public struct PersistentVolumeClaimSpec: Codable, Sendable, Hashable {
    public var accessModes: [String]?
    public var storageClassName: String?
    public var volumeMode: String?
    /// The volume, when it was chosen in advance or is bound.
    public var volumeName: String?
    /// The volumes that it may be bound to, when `volumeName` is unset.
    public var selector: LabelSelector?
    public var resources: ResourceRequirements?

    public init(
        accessModes: [String]? = nil, storageClassName: String? = nil, volumeMode: String? = nil,
        volumeName: String? = nil, selector: LabelSelector? = nil, resources: ResourceRequirements? = nil
    ) {
        self.accessModes = accessModes
        self.storageClassName = storageClassName
        self.volumeMode = volumeMode
        self.volumeName = volumeName
        self.selector = selector
        self.resources = resources
    }
}

/// "Pending", "Bound" or "Lost".
public struct PersistentVolumeClaimStatus: Codable, Sendable, Hashable {
    public var phase: String?
    public var accessModes: [String]?
    public var capacity: [String: Quantity]?

    public init(phase: String? = nil, accessModes: [String]? = nil, capacity: [String: Quantity]? = nil) {
        self.phase = phase
        self.accessModes = accessModes
        self.capacity = capacity
    }
}
