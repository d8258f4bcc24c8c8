/// Whether objects of a kind live in a namespace.
public enum ResourceScope: Sendable, Hashable {
    case namespaced
    case cluster
}

/// A kind of object that the API server serves.
///
/// All verbs of ``KubernetesClient`` and the ``Reflector`` work on a Codable type that conforms. Declare only the
/// fields you need: other fields of the server are ignored, and server-side apply does not write them. (`update`
/// replaces the complete object: do not use it with a type that leaves fields out.)
///
/// `apiVersion` and `kind` need no fields of their own: the client adds them to the objects that it sends.
///
/// A type whose metadata is an ``ObjectMeta`` conforms to ``MetadataResource``, which implements the rest.
public protocol KubernetesResource: Codable, Sendable {
    /// The API group, "" for the core group.
    static var group: String { get }
    static var version: String { get }
    /// The resource's name in paths: lower case and plural.
    static var plural: String { get }
    static var kind: String { get }
    static var scope: ResourceScope { get }

    /// Namespace and name.
    var objectKey: ObjectKey { get }
    /// Empty when the object did not come from the server.
    var resourceVersion: String { get }
    /// Empty when the object did not come from the server.
    var uid: String { get }
}

extension KubernetesResource {
    /// "v1" for the core group, else "group/version".
    public static var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// "pods", "jobs.batch": the resource's name for kubectl and in the server's messages.
    public static var resourceName: String { group.isEmpty ? plural : "\(plural).\(group)" }
}

/// A resource with standard metadata.
public protocol MetadataResource: KubernetesResource {
    var metadata: ObjectMeta { get set }
}

extension MetadataResource {
    public var objectKey: ObjectKey {
        ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "")
    }

    public var resourceVersion: String { metadata.resourceVersion ?? "" }
    public var uid: String { metadata.uid ?? "" }

    /// The reference for a dependent, so that the garbage collector deletes it after this object.
    public func ownerReference(controller: Bool = true, blockOwnerDeletion: Bool = true) -> OwnerReference {
        OwnerReference(
            apiVersion: Self.apiVersion, kind: Self.kind, name: objectKey.name, uid: uid,
            controller: controller, blockOwnerDeletion: blockOwnerDeletion)
    }

    /// The reference for an Event about this object.
    public var objectReference: ObjectReference {
        ObjectReference(
            apiVersion: Self.apiVersion, kind: Self.kind, namespace: metadata.namespace, name: metadata.name,
            uid: metadata.uid, resourceVersion: metadata.resourceVersion)
    }
}
