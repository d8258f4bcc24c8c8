internal import TextCoding

/// The bucket and the object of a request.
package struct Address: Sendable, Equatable {
    /// Nil: the service itself (list buckets).
    package var bucket: String?
    /// Nil: the bucket itself.
    package var key: String?
    /// The bucket came from the host name.
    package var virtualHost: Bool

    /// `baseHosts`: service names, so that `bucket.<base>` is a bucket and `<base>` is none. Without base hosts, the
    /// first label of a name with dots is the bucket when it is a known one, or when the path's first part is not. Nil
    /// when the path cannot be decoded.
    package init?(request: StoreRequest, baseHosts: [String], isBucket: (String) -> Bool) {
        guard let path = PercentCoding.decode(request.rawPath.dropFirst(), plusIsSpace: false) else { return nil }
        let host = Self.hostName(request.header("host") ?? "")
        if let bucket = Self.bucket(host: host, path: path, baseHosts: baseHosts, isBucket: isBucket) {
            self.bucket = bucket
            self.key = path.isEmpty ? nil : path
            self.virtualHost = true
            return
        }
        virtualHost = false
        let parts = path.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        bucket = parts.isEmpty || parts[0].isEmpty ? nil : String(parts[0])
        key = parts.count == 2 && !parts[1].isEmpty ? String(parts[1]) : nil
    }

    /// The host without its port, in lower case.
    package static func hostName(_ host: String) -> String {
        let lower = host.lowercased()
        if lower.hasPrefix("[") { return String(lower.prefix { $0 != "]" }) + "]" }
        return String(lower.prefix { $0 != ":" })
    }

    private static func bucket(
        host: String, path: String, baseHosts: [String], isBucket: (String) -> Bool
    ) -> String? {
        if isAddress(host) || !host.contains(".") { return nil }
        for base in baseHosts {
            if host == base { return nil }
            if host.hasSuffix("." + base) { return String(host.dropLast(base.count + 1)) }
        }
        let label = String(host.prefix { $0 != "." })
        if isBucket(label) { return label }
        if label.hasPrefix("oss-") || label == "s3" || label.hasPrefix("s3-") { return nil }
        if let first = path.split(separator: "/").first, isBucket(String(first)) { return nil }
        return label
    }

    private static func isAddress(_ host: String) -> Bool {
        host.hasPrefix("[") || host.utf8.allSatisfy { $0 == UInt8(ascii: ".") || (48...57).contains($0) }
    }
}
