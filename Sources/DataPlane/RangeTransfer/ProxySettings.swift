internal import StoreHost
public import TextCoding

/// The proxies through which stores are reached, as an environment names them.
///
/// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, the lower-case name first, as curl reads them
/// (https://everything.curl.dev/usingcurl/proxies/env.html). Two things differ: `HTTP_PROXY` in upper case counts too
/// (curl ignores it because of CGI programs), and `NO_PROXY` may hold networks and ports, as Go programs read it.
///
/// This machine, link-local addresses and metadata services are never reached through a proxy. A pure value.
public struct ProxySettings: Sendable, Hashable {
    private var https: StoreProxy?
    private var http: StoreProxy?
    private var exceptions = ProxyExceptions("", leadingDot: .nameAndBelow)

    /// Every store is reached directly.
    public static let none = ProxySettings()

    /// The names of all variables that are read.
    public static let variables: Set<String> = Set(
        ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"].flatMap { [$0, $0.lowercased()] })

    private init() {}

    /// - Throws: ``SettingError`` that names the variable and never its value, which may hold a password.
    public init(environment: [String: String]) throws(SettingError) {
        func value(_ name: String) -> (field: String, text: String)? {
            for field in [name.lowercased(), name] {
                if let text = environment[field], !text.isEmpty { return (field, text) }
            }
            return nil
        }
        func proxy(_ name: String) throws(SettingError) -> StoreProxy? {
            guard let (field, text) = value(name) ?? value("ALL_PROXY") else { return nil }
            return try StoreProxy(parsing: text, field: field)
        }
        https = try proxy("HTTPS_PROXY")
        http = try proxy("HTTP_PROXY")
        exceptions = ProxyExceptions(value("NO_PROXY")?.text ?? "", leadingDot: .nameAndBelow)
    }

    /// The proxy for a host; nil: it is reached directly.
    ///
    /// - Parameters:
    ///   - host: a name or an address, IPv6 without brackets.
    ///   - isSecure: HTTPS.
    public func proxy(for host: String, port: UInt16, isSecure: Bool) -> StoreProxy? {
        guard let proxy = isSecure ? https : http else { return nil }
        switch StoreHost.kind(of: host) {
        case .loopback, .linkLocal, .metadata: return nil
        case .ordinary, .unusable, .malformed: break
        }
        return exceptions.contain(host, port: port) ? nil : proxy
    }

    /// The proxy for the host of an absolute URL.
    func proxy(for url: String) -> StoreProxy? {
        guard https != nil || http != nil, let mark = url.firstRange(of: "://") else { return nil }
        let isSecure = url[..<mark.lowerBound] == "https"
        let authority = url[mark.upperBound...].prefix { $0 != "/" && $0 != "?" }
        guard let place = HostPort(authority) else { return nil }
        return proxy(for: place.host, port: place.port ?? (isSecure ? 443 : 80), isSecure: isSecure)
    }

    /// Those that are set, for a log line: without names and passwords.
    public var summary: String? {
        var parts: [String] = []
        if let https { parts.append("https by \(https)") }
        if let http { parts.append("http by \(http)") }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }
}

/// One proxy. Its description has neither name nor password.
public struct StoreProxy: Sendable, Hashable, CustomStringConvertible {
    /// `scheme://host[:port]`, for libcurl.
    let url: String
    let user: String?
    let password: String?
    /// The variable that named it.
    public let field: String

    public var description: String { url }

    private static let schemes: Set<String> = ["http", "https", "socks5", "socks5h"]

    /// Letters, digits, hyphens, dots and underscores.
    private static func isHost(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || [0x2d, 0x2e, 0x5f].contains($0)
            }
    }

    init(parsing text: String, field: String) throws(SettingError) {
        func wrong(_ problem: String) -> SettingError {
            SettingError(
                field: field, value: nil, problem: problem,
                remedy: "write it as http://host:port or http://name:password@host:port, special characters as %XX")
        }
        var scheme = "http"
        var rest = text[...]
        if let mark = text.firstRange(of: "://") {
            scheme = text[..<mark.lowerBound].lowercased()
            rest = text[mark.upperBound...]
        }
        guard Self.schemes.contains(scheme) else {
            throw wrong("has a scheme other than http, https, socks5 and socks5h")
        }
        var name: Substring?
        if let at = rest.lastIndex(of: "@") {
            name = rest[..<at]
            rest = rest[rest.index(after: at)...]
        }
        let place = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard let parts = HostPort(place) else { throw wrong("names no host and port") }
        let (host, port) = (parts.host, parts.port)
        let isAddress = NumericAddress.isIPv6(host)
        let written = (isAddress ? "[\(host)]" : host) + (port.map { ":\($0)" } ?? "")
        // The words of the text could be a password that lacks its @: they are not shown.
        guard port != 0, isAddress || Self.isHost(host), place == written else { throw wrong("names no host and port") }
        url = "\(scheme)://\(written.lowercased())"
        if let name {
            let colon = name.firstIndex(of: ":") ?? name.endIndex
            guard let user = PercentCoding.decode(name[..<colon], plusIsSpace: false),
                let password = PercentCoding.decode(name[colon...].dropFirst(), plusIsSpace: false)
            else { throw wrong("has a name or password that is no percent-encoded text") }
            (self.user, self.password) = (user, password)
        } else {
            (user, password) = (nil, nil)
        }
        self.field = field
    }
}
