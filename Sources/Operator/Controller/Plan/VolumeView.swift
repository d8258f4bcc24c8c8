public import Kubernetes

/// The facts that the plan needs about a claim.
public struct ClaimView: Sendable, Hashable {
    public var namespace: String
    public var name: String
    public var uid: String
    public var cacheUID: String
    public var version: String
    public var isDeleting: Bool
    /// Its volume disappeared: a claim never recovers from that.
    public var isLost: Bool

    public init(
        namespace: String, name: String, uid: String, cacheUID: String, version: String = "", isDeleting: Bool = false,
        isLost: Bool = false
    ) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.cacheUID = cacheUID
        self.version = version
        self.isDeleting = isDeleting
        self.isLost = isLost
    }

    /// Nil for a claim that is not one of ours after all.
    public init?(_ claim: PersistentVolumeClaim) {
        guard let cacheUID = claim.metadata.labels?[Names.uidLabel],
            let owner = Owner.controlling(claim.metadata.ownerReferences, label: cacheUID),
            claim.objectKey.name == Names.claim(cache: owner.name, uid: cacheUID)
        else { return nil }
        self.init(
            namespace: claim.objectKey.namespace, name: claim.objectKey.name, uid: claim.uid, cacheUID: cacheUID,
            version: claim.resourceVersion, isDeleting: claim.metadata.deletionTimestamp != nil,
            isLost: claim.status?.phase == "Lost")
    }

    var cache: CacheID { CacheID(namespace: namespace, uid: cacheUID) }
}

/// The facts that the plan needs about a volume.
public struct VolumeView: Sendable, Hashable {
    public var name: String
    public var uid: String
    public var cacheUID: String
    public var version: String
    public var isDeleting: Bool
    /// The claim it is bound to, once it is.
    public var claimUID: String?
    /// Of the model, when the volume was made.
    public var sizeBytes: Int64?
    /// The ModelCache, for a volume whose ModelCache is gone.
    public var namespace: String
    public var cacheName: String

    public init(
        name: String, uid: String, cacheUID: String, version: String = "", isDeleting: Bool = false,
        claimUID: String? = nil, sizeBytes: Int64? = nil, namespace: String = "", cacheName: String = ""
    ) {
        self.name = name
        self.uid = uid
        self.cacheUID = cacheUID
        self.version = version
        self.isDeleting = isDeleting
        self.claimUID = claimUID
        self.sizeBytes = sizeBytes
        self.namespace = namespace
        self.cacheName = cacheName
    }

    /// Nil for a volume that is not one of ours after all. Volumes have no namespace; their name says whose they are.
    public init?(_ volume: PersistentVolume) {
        guard let cacheUID = volume.metadata.labels?[Names.uidLabel],
            volume.objectKey.name == Names.volume(uid: cacheUID)
        else { return nil }
        let claimUID = volume.spec?.claimRef?.uid
        self.init(
            name: volume.objectKey.name, uid: volume.uid, cacheUID: cacheUID, version: volume.resourceVersion,
            isDeleting: volume.metadata.deletionTimestamp != nil, claimUID: claimUID?.isEmpty ?? true ? nil : claimUID,
            sizeBytes: volume.spec?.capacity?["storage"]?.value,
            namespace: volume.metadata.annotations?[Names.namespaceAnnotation] ?? volume.spec?.claimRef?.namespace
                ?? "",
            cacheName: volume.metadata.annotations?[Names.nameAnnotation] ?? "")
    }
}
