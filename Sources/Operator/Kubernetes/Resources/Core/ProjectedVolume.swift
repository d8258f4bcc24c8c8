/// Several sources in one directory of a pod. Of the kinds of sources those that are used here.
public struct ProjectedVolumeSource: Codable, Sendable, Hashable {
    public var sources: [VolumeProjection]?
    public var defaultMode: Int32?

    public init(sources: [VolumeProjection]? = nil, defaultMode: Int32? = nil) {
        self.sources = sources
        self.defaultMode = defaultMode
    }
}

/// One source of a ``ProjectedVolumeSource``.
public struct VolumeProjection: Codable, Sendable, Hashable {
    public var serviceAccountToken: ServiceAccountTokenProjection?

    public init(serviceAccountToken: ServiceAccountTokenProjection? = nil) { self.serviceAccountToken = serviceAccountToken }
}

/// A token of the pod's ServiceAccount, which the kubelet renews before it expires.
public struct ServiceAccountTokenProjection: Codable, Sendable, Hashable {
    /// Nil: the API server's own.
    public var audience: String?
    /// At least 600; nil: an hour.
    public var expirationSeconds: Int64?
    /// Below the mount point.
    public var path: String

    public init(audience: String? = nil, expirationSeconds: Int64? = nil, path: String) {
        self.audience = audience
        self.expirationSeconds = expirationSeconds
        self.path = path
    }
}
