import AsyncHTTPClient
import FoundationEssentials

/// The address of the server, and the name that its certificate must have.
struct ServerAddress: Sendable {
    /// The URL before the path. With a `tls-server-name` its host is that name.
    let base: String
    /// Host and port as configured.
    let hostHeader: String
    /// The name in the certificate, and the host to connect to instead of resolving that name.
    let nameOverride: (name: String, host: String)?

    init(_ configuration: ClientConfiguration) throws {
        guard let url = URLComponents(string: configuration.server), let scheme = url.scheme?.lowercased(),
            scheme == "https" || scheme == "http", let host = url.host, !host.isEmpty, url.user == nil,
            url.query == nil, url.fragment == nil
        else {
            throw ConfigurationError(
                source: configuration.origin, field: "server", problem: "\"\(configuration.server)\" is no address",
                remedy: "write it as https://host:port")
        }
        let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        let bracketed = bare.contains(":") ? "[\(bare)]" : bare
        let port = url.port.map { ":\($0)" } ?? ""
        var path = url.percentEncodedPath
        while path.hasSuffix("/") { path.removeLast() }
        hostHeader = bracketed + port
        if let name = configuration.tls.serverName, !name.isEmpty, name != bare, scheme == "https" {
            nameOverride = (name, bare)
            base = "\(scheme)://\(name)\(port)\(path)"
        } else {
            nameOverride = nil
            base = "\(scheme)://\(bracketed)\(port)\(path)"
        }
    }

    static func proxy(
        _ text: String, _ origin: String, field: String = "proxy-url"
    ) throws -> HTTPClient.Configuration.Proxy {
        guard let url = URLComponents(string: text), let host = url.host, !host.isEmpty else {
            throw ConfigurationError(
                source: origin, field: field, problem: "it is no address", remedy: "write it as http://host:port")
        }
        switch url.scheme?.lowercased() {
        case "http":
            guard let user = url.user else { return .server(host: host, port: url.port ?? 80) }
            return .server(
                host: host, port: url.port ?? 80,
                authorization: .basic(username: user, password: url.password ?? ""))
        case "socks5":
            return .socksServer(host: host, port: url.port ?? 1080)
        default:
            throw ConfigurationError(
                source: origin, field: field, problem: "only http:// and socks5:// proxies are supported",
                remedy: "use one of those, or none")
        }
    }
}
