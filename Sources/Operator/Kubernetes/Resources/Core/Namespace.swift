/// A namespace. `status.phase` is "Terminating" while the server empties it.
public struct Namespace: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "namespaces"
    public static let kind = "Namespace"
    public static let scope = ResourceScope.cluster

    public var metadata: ObjectMeta
    public var spec: NamespaceSpec?
    public var status: NamespaceStatus?

    public init(metadata: ObjectMeta = ObjectMeta(), spec: NamespaceSpec? = nil, status: NamespaceStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The finalizers that keep a namespace until it is empty.
public struct NamespaceSpec: Codable, Sendable, Hashable {
    public var finalizers: [String]?

    public init(finalizers: [String]? = nil) {
        self.finalizers = finalizers
    }
}

/// The phase of a namespace.
public struct NamespaceStatus: Codable, Sendable, Hashable {
    public var phase: String?

    public init(phase: String? = nil) {
        self.phase = phase
    }
}
