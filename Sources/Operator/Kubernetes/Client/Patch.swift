import FoundationEssentials

/// A change to an object, in a form that the server takes besides server-side apply
/// (https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply).
public struct Patch: Sendable {
    let contentType: String
    let body: Data

    /// RFC 7386: a member replaces, null removes, a list replaces the complete list. Include `metadata.resourceVersion`
    /// to make the patch conditional.
    public static func merge(_ value: some Encodable) throws -> Patch {
        Patch(contentType: "application/merge-patch+json", body: try ResourceCoding.encode(value))
    }

    /// RFC 6902: the server applies all operations or none.
    public static func json(_ operations: [JSONPatchOperation]) throws -> Patch {
        Patch(contentType: "application/json-patch+json", body: try ResourceCoding.encode(operations))
    }
}

/// One step of a JSON patch.
public struct JSONPatchOperation: Encodable, Sendable, Hashable {
    private let op: String
    private let path: String
    private let value: JSONValue?

    /// Sets a member, or inserts into a list ("/metadata/finalizers/-" appends).
    public static func add(_ path: String, _ value: JSONValue) -> Self { .init(op: "add", path: path, value: value) }
    public static func replace(_ path: String, _ value: JSONValue) -> Self {
        .init(op: "replace", path: path, value: value)
    }
    public static func remove(_ path: String) -> Self { .init(op: "remove", path: path, value: nil) }
    /// The complete patch fails with Invalid when the value differs.
    public static func test(_ path: String, _ value: JSONValue) -> Self { .init(op: "test", path: path, value: value) }

    /// One member's name as a segment of a path: "~" and "/" escaped (RFC 6901).
    public static func pathSegment(_ name: String) -> String {
        var escaped = ""
        for character in name {
            switch character {
            case "~": escaped += "~0"
            case "/": escaped += "~1"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
