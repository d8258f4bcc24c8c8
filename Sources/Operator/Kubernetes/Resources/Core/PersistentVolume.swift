/// A volume of the cluster that one claim binds to.
public struct PersistentVolume: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "persistentvolumes"
    public static let kind = "PersistentVolume"
    public static let scope = ResourceScope.cluster

    public var metadata: ObjectMeta
    public var spec: PersistentVolumeSpec?
    public var status: PersistentVolumeStatus?

    public init(
        metadata: ObjectMeta = ObjectMeta(), spec: PersistentVolumeSpec? = nil, status: PersistentVolumeStatus? = nil
    ) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// A volume's capacity, access and location.
public struct PersistentVolumeSpec: Codable, Sendable, Hashable {
    public var capacity: [String: Quantity]?
    public var accessModes: [String]?
    /// "Retain" or "Delete".
    public var persistentVolumeReclaimPolicy: String?
    public var storageClassName: String?
    public var volumeMode: String?
    /// The claim that it is reserved for or bound to.
    public var claimRef: ObjectReference?
    public var hostPath: HostPathVolumeSource?
    public var nodeAffinity: VolumeNodeAffinity?

    public init(
        capacity: [String: Quantity]? = nil, accessModes: [String]? = nil,
        persistentVolumeReclaimPolicy: String? = nil, storageClassName: String? = nil,
        volumeMode: String? = nil, claimRef: ObjectReference? = nil, hostPath: HostPathVolumeSource? = nil,
        nodeAffinity: VolumeNodeAffinity? = nil
    ) {
        self.capacity = capacity
        self.accessModes = accessModes
        self.persistentVolumeReclaimPolicy = persistentVolumeReclaimPolicy
        self.storageClassName = storageClassName
        self.volumeMode = volumeMode
        self.claimRef = claimRef
        self.hostPath = hostPath
        self.nodeAffinity = nodeAffinity
    }
}

/// The nodes that can reach a volume.
public struct VolumeNodeAffinity: Codable, Sendable, Hashable {
    public var required: NodeSelector?

    public init(required: NodeSelector? = nil) {
        self.required = required
    }
}

/// "Pending", "Available", "Bound", "Released" or "Failed", and why.
public struct PersistentVolumeStatus: Codable, Sendable, Hashable {
    public var phase: String?
    public var reason: String?
    public var message: String?

    public init(phase: String? = nil, reason: String? = nil, message: String? = nil) {
        self.phase = phase
        self.reason = reason
        self.message = message
    }
}
