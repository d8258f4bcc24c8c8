/// Where a store is reached, and how a bucket is addressed there.
public struct StoreEndpoint: Sendable, Hashable, CustomStringConvertible {
    public enum Transport: String, Sendable, Hashable {
        case http
        case https
    }

    /// Whether the bucket is in the host name or the path.
    public enum Addressing: String, Sendable, Hashable {
        /// `bucket.host/key`, what OSS and S3 want.
        case virtualHost
        /// `host/bucket/key`, for IP endpoints, localhost and small S3 servers.
        case path
    }

    public let transport: Transport
    /// Lowercase; an IPv6 address without brackets.
    public let host: String
    public let port: UInt16
    public let addressing: Addressing

    /// Parses `https://host[:port]`, `http://host[:port]` or `host[:port]` (HTTPS).
    ///
    /// - Parameters:
    ///   - forcePathStyle: the setting that overrides the choice of addressing; nil: path for IP addresses and
    ///     `localhost`, virtual host otherwise.
    ///   - field: the setting's name for the error.
    public init(
        parsing text: String, forcePathStyle: Bool? = nil, field: String = "OSS_ENDPOINT"
    ) throws(SettingError) {
        let parsed = try EndpointText(parsing: text, field: field)
        self.transport = parsed.transport
        self.host = parsed.host
        self.port = parsed.port ?? (parsed.transport == .https ? 443 : 80)
        let byNature = parsed.isAddress || parsed.host == "localhost" || parsed.host.hasSuffix(".localhost")
        self.addressing = forcePathStyle ?? byNature ? .path : .virtualHost
    }

    /// Two endpoints that mean the same service have the same canonical form: scheme, lowercase host, explicit port.
    public var canonical: String { "\(transport.rawValue)://\(bracketedHost):\(port)" }

    /// As `canonical`, without the port where it is the usual one.
    public var description: String { "\(transport.rawValue)://\(hostHeader(bucket: nil))" }

    /// The region that a well-known public host name implies: `oss-cn-hangzhou[-internal].aliyuncs.com` gives
    /// `cn-hangzhou`, `s3.eu-west-1.amazonaws.com` gives `eu-west-1`.
    public var impliedRegion: String? {
        let labels = host.split(separator: ".")
        if host.hasSuffix(".aliyuncs.com"), labels.count == 3, labels[0].hasPrefix("oss-") {
            var region = labels[0].dropFirst(4)
            if region.hasSuffix("-internal") { region = region.dropLast(9) }
            return region.isEmpty || region.hasPrefix("accelerate") ? nil : String(region)
        }
        if host.hasSuffix(".amazonaws.com"), labels.count == 4, labels[0] == "s3" { return String(labels[1]) }
        return nil
    }

    var bracketedHost: String { host.contains(":") ? "[\(host)]" : host }

    /// The value of the `Host` header; the port is left out where it is the scheme's own, as clients do.
    func hostHeader(bucket: String?) -> String {
        let usual: UInt16 = transport == .https ? 443 : 80
        let name = bucket.map { "\($0).\(bracketedHost)" } ?? bracketedHost
        return port == usual ? name : "\(name):\(port)"
    }
}
