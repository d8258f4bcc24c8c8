/// A person's request that copies be dropped now: an annotation that the operator acts on once and then removes.
///
/// Copies come back where the spec wants them (Eager nodes, seeders), so this refreshes; with `suspend: true` they
/// stay away.
public struct EvictionRequest: Sendable, Equatable {
    public static let annotationKey = "modelcache.io/evict-requested"

    /// Nil: every node.
    public var node: String?
    /// When it was asked for, RFC 3339: a second request for the same node is another one.
    public var requestedAt: String

    public init(node: String?, requestedAt: String) {
        self.node = node
        self.requestedAt = requestedAt
    }

    /// Nil for a missing or malformed annotation; a malformed one is to be removed like any other.
    public init?(annotation: String?) {
        guard let annotation, let mark = annotation.firstIndex(of: "@") else { return nil }
        let name = String(annotation[..<mark])
        let time = String(annotation[annotation.index(after: mark)...])
        guard !name.isEmpty, !time.isEmpty else { return nil }
        guard name == "*" || (name.utf8.count <= 253 && SchemaNode.Pattern.objectName.matches(name)) else { return nil }
        self.init(node: name == "*" ? nil : name, requestedAt: time)
    }

    /// `<node or *>@<time>`.
    public var annotation: String { "\(node ?? "*")@\(requestedAt)" }
}
