import FoundationEssentials
internal import TextCoding

/// The proxy to the API server that an environment names, by the rules of kubectl and client-go.
///
/// These are Go's (https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config): `HTTPS_PROXY` for https and `HTTP_PROXY`
/// for http, upper case first, and `NO_PROXY` (``ProxyExceptions``). This machine is reached directly.
/// A pure value; printing it shows no password.
public struct NamedProxy: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    /// With a scheme, as the variable has it otherwise.
    public let url: String
    /// The variable that named it.
    public let field: String

    public var description: String { field }
    public var customMirror: Mirror { Mirror(self, children: ["field": field]) }

    /// Nil: the server is reached directly.
    public init?(for server: String, in environment: [String: String]) {
        guard let address = URLComponents(string: server), let scheme = address.scheme?.lowercased(),
            var host = address.host?.lowercased(), !host.isEmpty
        else { return nil }
        if host.hasPrefix("[") { host = String(host.dropFirst().dropLast()) }
        let name = scheme == "https" ? "HTTPS_PROXY" : "HTTP_PROXY"
        let port = address.port ?? (scheme == "https" ? 443 : 80)
        guard let (field, text) = Self.value(name, environment), !Self.isThisMachine(host) else { return nil }
        let exceptions = ProxyExceptions(Self.value("NO_PROXY", environment)?.text ?? "", leadingDot: .below)
        guard let port = UInt16(exactly: port), !exceptions.contain(host, port: port) else { return nil }
        url = text.contains("://") ? text : "http://\(text)"
        self.field = field
    }

    private static func value(_ name: String, _ environment: [String: String]) -> (field: String, text: String)? {
        for field in [name, name.lowercased()] {
            if let text = environment[field], !text.isEmpty { return (field, text) }
        }
        return nil
    }

    private static func isThisMachine(_ host: String) -> Bool {
        guard let bytes = NumericAddress.bytes(of: host) else { return host == "localhost" }
        return bytes.count == 4 ? bytes[0] == 127 : bytes == [UInt8](repeating: 0, count: 15) + [1]
    }
}
