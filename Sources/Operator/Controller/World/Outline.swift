public import Kubernetes

/// An object without its spec: its metadata, and of its status what `Status` reads. Read only: written, it would lose
/// the rest.
public struct Outline<Whole: KubernetesResource, Status: Codable & Sendable & Hashable>: KubernetesResource, Hashable {
    public static var group: String { Whole.group }
    public static var version: String { Whole.version }
    public static var plural: String { Whole.plural }
    public static var kind: String { Whole.kind }
    public static var scope: ResourceScope { Whole.scope }

    public typealias Metadata = OutlineMetadata

    public var metadata: Metadata
    public var status: Status?

    public init(metadata: Metadata, status: Status? = nil) {
        self.metadata = metadata
        self.status = status
    }

    public var objectKey: ObjectKey { ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "") }
    public var resourceVersion: String { metadata.resourceVersion ?? "" }
    public var uid: String { metadata.uid ?? "" }
}

/// Metadata without the managed fields, which are most of it.
public struct OutlineMetadata: Codable, Sendable, Hashable {
    public var name: String?
    public var namespace: String?
    public var uid: String?
    public var resourceVersion: String?
    public var deletionTimestamp: Timestamp?
    public var labels: [String: String]?
    public var annotations: [String: String]?
    public var ownerReferences: [OwnerReference]?

    public init() {}
}
