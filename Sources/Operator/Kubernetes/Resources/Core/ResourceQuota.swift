/// The limits of a namespace. The API server enforces those on its own resources; keys with another domain are left to
/// whoever defines them.
public struct ResourceQuota: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "resourcequotas"
    public static let kind = "ResourceQuota"
    public static let scope = ResourceScope.namespaced

    public var metadata: ObjectMeta
    public var spec: ResourceQuotaSpec?

    public init(metadata: ObjectMeta = ObjectMeta(), spec: ResourceQuotaSpec? = nil) {
        self.metadata = metadata
        self.spec = spec
    }
}

/// The limits, by name of the resource.
public struct ResourceQuotaSpec: Codable, Sendable, Hashable {
    public var hard: [String: Quantity]?

    public init(hard: [String: Quantity]? = nil) {
        self.hard = hard
    }
}
