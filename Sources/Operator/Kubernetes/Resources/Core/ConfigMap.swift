/// A ConfigMap, without binary data.
public struct ConfigMap: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "configmaps"
    public static let kind = "ConfigMap"
    public static let scope = ResourceScope.namespaced

    public var metadata: ObjectMeta
    public var data: [String: String]?
    public var immutable: Bool?

    public init(metadata: ObjectMeta = ObjectMeta(), data: [String: String]? = nil, immutable: Bool? = nil) {
        self.metadata = metadata
        self.data = data
        self.immutable = immutable
    }
}
