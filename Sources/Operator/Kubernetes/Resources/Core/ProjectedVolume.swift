/// Several sources in one directory of a pod. Only the kinds of sources that this project uses.
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
    public var downwardAPI: DownwardAPIProjection?

    public init(
        serviceAccountToken: ServiceAccountTokenProjection? = nil, downwardAPI: DownwardAPIProjection? = nil
    ) {
        self.serviceAccountToken = serviceAccountToken
        self.downwardAPI = downwardAPI
    }
}

/// Fields of the pod as files.
public struct DownwardAPIProjection: Codable, Sendable, Hashable {
    public struct Item: Codable, Sendable, Hashable {
        /// Relative to the mount point.
        public var path: String
        public var fieldRef: FieldSelectorReference

        public init(path: String, fieldRef: FieldSelectorReference) {
            self.path = path
            self.fieldRef = fieldRef
        }
    }
    public var items: [Item]

    public init(items: [Item]) { self.items = items }
}

/// A token of the pod's ServiceAccount, which the kubelet renews before it expires.
public struct ServiceAccountTokenProjection: Codable, Sendable, Hashable {
    /// Nil: the API server's own audience.
    public var audience: String?
    /// Seconds, at least 600; nil: an hour.
    public var expirationSeconds: Int64?
    /// Relative to the mount point.
    public var path: String

    public init(audience: String? = nil, expirationSeconds: Int64? = nil, path: String) {
        self.audience = audience
        self.expirationSeconds = expirationSeconds
        self.path = path
    }
}
