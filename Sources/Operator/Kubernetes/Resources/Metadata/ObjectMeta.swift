/// The metadata of every object, as `metav1.ObjectMeta`, as far as a controller needs it. `managedFields`, the largest
/// part of most objects, is never decoded.
public struct ObjectMeta: Codable, Sendable, Hashable {
    public var name: String?
    /// Prefix of a name that the server completes at creation.
    public var generateName: String?
    public var namespace: String?
    public var uid: String?
    /// Opaque: compare it for equality only. In an update or a patch it makes the write conditional.
    public var resourceVersion: String?
    public var generation: Int64?
    public var creationTimestamp: Timestamp?
    /// Set when a deletion was requested and finalizers still hold the object.
    public var deletionTimestamp: Timestamp?
    /// The grace period of the deletion that was requested.
    public var deletionGracePeriodSeconds: Int64?
    public var finalizers: [String]?
    public var labels: [String: String]?
    public var annotations: [String: String]?
    public var ownerReferences: [OwnerReference]?

    public init(
        name: String? = nil, generateName: String? = nil, namespace: String? = nil, uid: String? = nil,
        resourceVersion: String? = nil, generation: Int64? = nil, creationTimestamp: Timestamp? = nil,
        deletionTimestamp: Timestamp? = nil, deletionGracePeriodSeconds: Int64? = nil,
        finalizers: [String]? = nil, labels: [String: String]? = nil,
        annotations: [String: String]? = nil, ownerReferences: [OwnerReference]? = nil
    ) {
        self.name = name
        self.generateName = generateName
        self.namespace = namespace
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.generation = generation
        self.creationTimestamp = creationTimestamp
        self.deletionTimestamp = deletionTimestamp
        self.deletionGracePeriodSeconds = deletionGracePeriodSeconds
        self.finalizers = finalizers
        self.labels = labels
        self.annotations = annotations
        self.ownerReferences = ownerReferences
    }
}

/// The owner of an object; the garbage collector deletes the object after its owner.
public struct OwnerReference: Codable, Sendable, Hashable {
    public var apiVersion: String
    public var kind: String
    public var name: String
    public var uid: String
    public var controller: Bool?
    public var blockOwnerDeletion: Bool?

    public init(
        apiVersion: String, kind: String, name: String, uid: String, controller: Bool? = nil,
        blockOwnerDeletion: Bool? = nil
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
        self.controller = controller
        self.blockOwnerDeletion = blockOwnerDeletion
    }
}
