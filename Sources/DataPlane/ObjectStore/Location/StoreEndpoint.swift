public import TextCoding

/// Where the bucket's name stands in a request, as a person sets it.
public enum AddressingSetting: String, Sendable, Hashable, CaseIterable {
    /// By the host; see ``StoreEndpoint/Addressing``.
    case auto = "Auto"
    case virtual = "Virtual"
    case path = "Path"
    case cname = "CNAME"

    /// Takes any case. `field` is the setting's name for the error; nil and empty text mean `auto`.
    public init(parsing text: String?, field: String = "MODELCACHE_ADDRESSING") throws(SettingError) {
        guard let text, !text.isEmpty else {
            self = .auto
            return
        }
        guard let found = Self.allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() }) else {
            throw SettingError(
                field: field, value: text, problem: "is not known", remedy: "set Auto, Virtual, Path or CNAME")
        }
        self = found
    }
}

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
        /// `host/bucket/key`, for IP endpoints, localhost and S3 servers of one's own.
        case path
        /// `host/key`: the host is a domain that belongs to the bucket (custom domain).
        case cname
    }

    public let transport: Transport
    /// Lowercase; an IPv6 address without brackets.
    public let host: String
    public let port: UInt16
    public let addressing: Addressing

    /// Parses `https://host[:port]`, `http://host[:port]` or `host[:port]` (HTTPS).
    ///
    /// `Auto` is the bucket in the path for addresses, `localhost`, and every S3 host that is not a public store's
    /// known name (MinIO, Ceph, Garage, SeaweedFS and their like understand the path; few have the DNS for the other
    /// way). OSS, and stores that refuse the path, have the bucket in the host. A bucket with dots goes into the path
    /// over HTTPS, since no certificate matches its host name.
    ///
    /// - Parameters:
    ///   - location: whose bucket is read there; nil: none is known, and `Auto` goes by the host alone.
    ///   - field: the setting's name for the error.
    /// - Throws: ``SettingError``, also when the host holds the bucket already.
    public init(
        parsing text: String, for location: ObjectLocation? = nil, addressing: AddressingSetting = .auto,
        field: String = "OSS_ENDPOINT"
    ) throws(SettingError) {
        let parsed = try EndpointText(parsing: text, field: field)
        self.transport = parsed.transport
        self.host = parsed.host
        self.port = parsed.port ?? (parsed.transport == .https ? 443 : 80)
        let known = parsed.isAddress ? nil : KnownHost(parsed.host)
        if let known, let location, addressing != .cname, known.service != parsed.host,
            parsed.host.hasPrefix("\(location.bucket).")
        {
            throw SettingError(
                field: field, value: text, problem: "holds the bucket \(location.bucket) already",
                remedy: "write \(known.service)")
        }
        let isLocal = parsed.isAddress || parsed.host == "localhost" || parsed.host.hasSuffix(".localhost")
        switch addressing {
        case .path: self.addressing = .path
        case .cname: self.addressing = .cname
        case .virtual:
            if parsed.isAddress {
                throw SettingError(
                    field: field, value: text, problem: "is an address, which cannot have a bucket before it",
                    remedy: "use the addressing Path")
            }
            self.addressing = .virtualHost
        case .auto: self.addressing = Self.natural(isLocal: isLocal, known, location, transport)
        }
    }

    private static func natural(
        isLocal: Bool, _ known: KnownHost?, _ location: ObjectLocation?, _ transport: Transport
    ) -> Addressing {
        if isLocal { return .path }
        let isDotted = transport == .https && location?.bucket.contains(".") ?? false
        switch known?.style {
        case .path: return .path
        case .virtualHost: return .virtualHost
        case .either: return isDotted ? .path : .virtualHost
        case nil: return location?.scheme == .s3 ? .path : .virtualHost
        }
    }

    private init(_ other: StoreEndpoint, host: String) {
        transport = other.transport
        self.host = host
        port = other.port
        addressing = other.addressing
    }

    /// Two endpoints that mean the same service have the same canonical form: scheme, lowercase host, explicit port.
    public var canonical: String { "\(transport.rawValue)://\(bracketedHost):\(port)" }

    /// As `canonical`, without the port where it is the usual one.
    public var description: String { "\(transport.rawValue)://\(hostHeader(bucket: nil))" }

    /// The region that a well-known public host name implies: `oss-cn-hangzhou[-internal].aliyuncs.com` gives
    /// `cn-hangzhou`, `s3.eu-west-1.amazonaws.com` gives `eu-west-1`.
    public var impliedRegion: String? { KnownHost(host)?.region }

    /// The endpoint that serves the same bucket while this one cannot be reached: of an OSS accelerator, its region's
    /// own.
    public var fallback: StoreEndpoint? { KnownHost(host)?.fallback.map { StoreEndpoint(self, host: $0) } }

    var bracketedHost: String { host.contains(":") ? "[\(host)]" : host }

    /// The value of the `Host` header; the port is left out where it is the scheme's own, as clients do.
    func hostHeader(bucket: String?) -> String {
        let usual: UInt16 = transport == .https ? 443 : 80
        let name = bucket.map { "\($0).\(bracketedHost)" } ?? bracketedHost
        return port == usual ? name : "\(name):\(port)"
    }
}
