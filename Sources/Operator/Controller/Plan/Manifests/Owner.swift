public import Kubernetes

/// The ModelCache as its dependents name it.
public struct Owner: Sendable, Hashable {
    public var namespace: String
    public var name: String
    public var uid: String

    public init(namespace: String, name: String, uid: String) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
    }

    /// Labels of all that is made for it.
    public var labels: [String: String] {
        [
            Names.managedByLabel: Names.managedBy, Names.uidLabel: uid, Names.nameLabel: name,
            "app.kubernetes.io/name": "modelcache",
            "app.kubernetes.io/part-of": "modelcache",
        ]
    }

    public static let apiVersion = "modelcache.io/v1alpha1"
    public static let kind = "ModelCache"

    /// The ModelCache that controls an object, nil when none does or when the object's label names another: anybody who
    /// may make Jobs or claims in a namespace may also write our labels on them.
    static func controlling(_ references: [OwnerReference]?, label uid: String?) -> OwnerReference? {
        controlling(references).flatMap { $0.uid == uid ? $0 : nil }
    }

    /// The ModelCache that controls an object, nil when none does. An object has one controller at most.
    static func controlling(_ references: [OwnerReference]?) -> OwnerReference? {
        references?.first { reference in
            (reference.controller ?? false) && reference.kind == kind && reference.apiVersion == apiVersion
        }
    }

    public var reference: OwnerReference {
        OwnerReference(
            apiVersion: Self.apiVersion, kind: Self.kind, name: name, uid: uid, controller: true,
            blockOwnerDeletion: true)
    }
}
