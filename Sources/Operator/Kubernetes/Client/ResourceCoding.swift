import FoundationEssentials

/// JSON as the API server reads and writes it.
enum ResourceCoding {
    static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        // Equal objects give equal bytes, which tests and caches can compare.
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, _ data: Data) throws -> Value {
        try JSONDecoder().decode(type, from: data)
    }

    /// The error and its field. Never a value, which may be a secret.
    static func explain(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            "\(path(context.codingPath + [key])) is missing"
        case DecodingError.valueNotFound(let type, let context):
            "\(path(context.codingPath)) is null where \(type) is expected"
        case DecodingError.typeMismatch(let type, let context):
            "\(path(context.codingPath)) is not of type \(type)"
        case DecodingError.dataCorrupted(let context):
            context.codingPath.isEmpty ? "not JSON" : "\(path(context.codingPath)) is malformed"
        case EncodingError.invalidValue(_, let context):
            "\(path(context.codingPath)) cannot be written"
        default: "\(type(of: error))"
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        var text = ""
        for key in keys {
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += (text.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return text.isEmpty ? "the document" : text
    }
}

/// The keys of members that are added to a type's own encoding.
private struct AddedKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// An object with `apiVersion` and `kind`, which resource types do not have.
struct TypedObject<Resource: KubernetesResource>: Encodable {
    let object: Resource

    init(_ object: Resource) { self.object = object }

    func encode(to encoder: any Encoder) throws {
        try object.encode(to: encoder)
        var container = encoder.container(keyedBy: AddedKey.self)
        try container.encode(Resource.apiVersion, forKey: AddedKey("apiVersion"))
        try container.encode(Resource.kind, forKey: AddedKey("kind"))
    }
}

/// The body of a server-side apply: the fields to own, with type and name.
struct AppliedObject<Configuration: Encodable, Resource: KubernetesResource>: Encodable {
    let configuration: Configuration
    let key: ObjectKey

    init(_ configuration: Configuration, _ type: Resource.Type, _ key: ObjectKey) {
        self.configuration = configuration
        self.key = key
    }

    func encode(to encoder: any Encoder) throws {
        try configuration.encode(to: encoder)
        var container = encoder.container(keyedBy: AddedKey.self)
        try container.encode(Resource.apiVersion, forKey: AddedKey("apiVersion"))
        try container.encode(Resource.kind, forKey: AddedKey("kind"))
        var metadata = container.nestedContainer(keyedBy: AddedKey.self, forKey: AddedKey("metadata"))
        try metadata.encode(key.name, forKey: AddedKey("name"))
        if !key.namespace.isEmpty { try metadata.encode(key.namespace, forKey: AddedKey("namespace")) }
    }
}

/// `DeleteOptions` of `meta/v1`.
struct DeleteOptionsBody: Encodable {
    private struct Preconditions: Encodable {
        var uid: String?
        var resourceVersion: String?
    }

    private let apiVersion = "v1"
    private let kind = "DeleteOptions"
    private let propagationPolicy: DeleteOptions.Propagation?
    private let preconditions: Preconditions?
    private let gracePeriodSeconds: Int64?
    private let dryRun: [String]?

    init(_ options: DeleteOptions) {
        propagationPolicy = options.propagation
        preconditions =
            options.uid == nil && options.resourceVersion == nil
            ? nil : Preconditions(uid: options.uid, resourceVersion: options.resourceVersion)
        gracePeriodSeconds = options.gracePeriodSeconds
        dryRun = options.dryRun ? ["All"] : nil
    }
}

/// The server responds to a deletion with a `Status`, or with the object.
struct DeleteAnswer<Resource: KubernetesResource>: Decodable {
    let outcome: DeleteOutcome<Resource>

    private struct Peek: Decodable {
        struct Metadata: Decodable { var deletionTimestamp: String? }
        var kind: String?
        var metadata: Metadata?
    }

    init(from decoder: any Decoder) throws {
        let peek = try Peek(from: decoder)
        if peek.kind == "Status" || peek.metadata?.deletionTimestamp == nil {
            outcome = .gone
        } else {
            outcome = .pending(try Resource(from: decoder))
        }
    }
}
