/// A person's request to evict copies now: an annotation that the operator carries out at most once and then removes.
///
/// Copies return where the spec requires them (Eager nodes, seeders), so this refreshes them. With `suspend: true` they
/// do not return.
public struct EvictionRequest: Sendable, Equatable {
    public static let annotationKey = "modelcache.io/evict-requested"
    /// Annotation with the request that an operator has begun to carry out, so that another process of it does not
    /// carry it out again. It goes with the request.
    public static let begunKey = "modelcache.io/evict-begun"
    /// Annotation of a ModelCache that is being deleted: with the value `true` its copies go though somebody reads
    /// them. Readers keep the bytes that they have; reads of other bytes fail.
    public static let forceKey = "modelcache.io/force-evict"

    /// Nil: every node.
    public var node: String?
    /// When it was requested, RFC 3339: a second request for the same node has another time.
    public var requestedAt: String

    public init(node: String?, requestedAt: String) {
        self.node = node
        self.requestedAt = requestedAt
    }

    /// Nil for a missing or malformed annotation; the operator removes a malformed one too.
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
