/// The paths of the API and the rule for a cache's uid.
public enum CachePath {
    /// `GET`: the agent's report.
    public static let collection = "/v1/caches"
    /// The longest body of a request, in bytes: a key set of 64 KiB, its quotes escaped, and 64 KiB for everything
    /// else.
    public static let maximumBodyBytes = 192 << 10
    /// How long the operator waits for the response to a `PUT` or `DELETE`, which mount, unmount and remove files.
    public static let orderPatience: Duration = .seconds(15)

    /// `PUT`, `DELETE`: one cache. With `force`, a DELETE does not wait for clients.
    public static func cache(_ uid: String, force: Bool = false, order: OrderNumber? = nil) -> String {
        let query = (force ? ["force=true"] : []) + (order.map { [$0.query] } ?? [])
        return "\(collection)/\(uid)" + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
    }

    /// `GET`: the starts of the pods that read a cache.
    public static func readers(_ uid: String) -> String { "\(collection)/\(uid)\(readersSuffix)" }
    /// Behind a cache's path.
    public static let readersSuffix = "/readers"

    /// Whether a text may be a cache's uid, and so the name of its directory: 36 of `0-9 a-f -`, as the API server
    /// makes them (RFC 9562 text form). No such text is a path.
    public static func isUID(_ text: String) -> Bool {
        let bytes = text.utf8
        return bytes.count == 36
            && bytes.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) || byte == 0x2d
            } && bytes.contains { $0 != 0x2d }
    }
}
