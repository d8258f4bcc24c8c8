internal import TextCoding

/// A request before it is signed: what is asked of which bucket, without encoding.
public struct SignableRequest: Sendable, Hashable {
    public var method: String
    /// The value of the `Host` header.
    public var host: String
    /// The path as sent, encoded, starting with `/`.
    public var path: String
    public var bucket: String
    /// Nil for a request on the bucket.
    public var key: String?
    /// Names and values, unencoded. An empty value is a flag such as `?acl`.
    public var query: [QueryItem]
    /// Lowercase names.
    public var headers: [String: String]

    public struct QueryItem: Sendable, Hashable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String = "") {
            self.name = name
            self.value = value
        }
    }

    public init(
        method: String = "GET", endpoint: StoreEndpoint, bucket: String, key: String?, query: [QueryItem] = [],
        headers: [String: String] = [:]
    ) {
        self.method = method
        self.bucket = bucket
        self.key = key
        self.query = query
        self.headers = headers
        let keyPath = key.map { PercentCoding.encode($0, keepingSlash: true) } ?? ""
        switch endpoint.addressing {
        case .virtualHost:
            self.host = endpoint.hostHeader(bucket: bucket)
            self.path = "/\(keyPath)"
        case .cname:
            self.host = endpoint.hostHeader(bucket: nil)
            self.path = "/\(keyPath)"
        case .path:
            self.host = endpoint.hostHeader(bucket: nil)
            self.path = "/\(bucket)/\(keyPath)"
        }
    }

    /// `name=value&flag`, encoded and sorted by the encoded name: sent and signed alike. S3 signs a flag as `name=`.
    func encodedQuery(flagsWithEquals: Bool) -> String {
        query
            .map {
                (
                    PercentCoding.encode($0.name, keepingSlash: false),
                    PercentCoding.encode($0.value, keepingSlash: false)
                )
            }
            .sorted { $0.0 == $1.0 ? $0.1 < $1.1 : $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
            .map { $0.1.isEmpty && !flagsWithEquals ? $0.0 : "\($0.0)=\($0.1)" }
            .joined(separator: "&")
    }

    /// Path and query as sent.
    var target: String { query.isEmpty ? path : "\(path)?\(encodedQuery(flagsWithEquals: true))" }
}
