public import Kubernetes

/// The operation, and the object that it is about.
public struct AdmissionRequest: Sendable, Hashable {
    /// Names this question; the answer carries it back.
    public var uid: String
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    public var operation: String
    /// Group, version and kind of ``object``, "" for the core group.
    public var kind: Kind
    /// "" for the object itself, else such as `status`, `ephemeralcontainers`.
    public var subResource: String
    /// Also there when the object names none.
    public var namespace: String
    /// The object's name; "" when the server is still to complete `generateName`.
    public var name: String
    /// Nothing will be stored. The patch has no side effect, so nothing differs.
    public var dryRun: Bool
    /// The object as it is to be stored; null for DELETE.
    public var object: JSONValue
    /// The object as it is stored; null for CREATE.
    public var oldObject: JSONValue

    /// `metav1.GroupVersionKind`.
    public struct Kind: Sendable, Hashable {
        public var group: String
        public var version: String
        public var kind: String

        public init(group: String, version: String, kind: String) {
            self.group = group
            self.version = version
            self.kind = kind
        }
    }

    public init(
        uid: String, operation: String = "CREATE", kind: Kind = Kind(group: "", version: "v1", kind: "Pod"),
        subResource: String = "",
        namespace: String, name: String = "", dryRun: Bool = false, object: JSONValue,
        oldObject: JSONValue = .null
    ) {
        self.uid = uid
        self.operation = operation
        self.kind = kind
        self.subResource = subResource
        self.namespace = namespace
        self.name = name
        self.dryRun = dryRun
        self.object = object
        self.oldObject = oldObject
    }

    /// The pod of a `CREATE`; nil for whatever else a webhook's rules may let through.
    public var createdPod: JSONValue? {
        guard operation == "CREATE", kind == Kind(group: "", version: "v1", kind: "Pod"), subResource.isEmpty,
            case .object = object
        else { return nil }
        return object
    }

    init(_ tree: JSONValue) throws(ReviewError) {
        func text(_ member: String, in tree: JSONValue = tree) -> String { tree[member]?.text ?? "" }
        uid = text("uid")
        // The API server's are UUIDs; one without end would come back in the answer.
        guard !uid.isEmpty, uid.utf8.count <= 256 else { throw .notAReview("request.uid is missing or too long") }
        operation = text("operation")
        guard !operation.isEmpty else { throw .notAReview("request.operation is missing") }
        guard let kind = tree["kind"], case .object = kind else { throw .notAReview("request.kind is missing") }
        self.kind = Kind(
            group: text("group", in: kind), version: text("version", in: kind), kind: text("kind", in: kind))
        subResource = text("subResource")
        namespace = text("namespace")
        name = text("name")
        if case .bool(true)? = tree["dryRun"] { dryRun = true } else { dryRun = false }
        object = tree["object"] ?? .null
        oldObject = tree["oldObject"] ?? .null
    }
}
