/// Where a node's peer server listens: a numeric address and a port, written `10.0.0.7:9418` or `[fd00::7]:9418`.
public struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// Numeric, without brackets.
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port`, `[host]:port`, or a host alone, which gets `defaultPort`. Nil: not such a text.
    public init?(_ text: some StringProtocol, defaultPort: Int? = nil) {
        var host = Substring(text)
        var port = defaultPort
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return nil }
            let rest = host[host.index(after: end)...]
            host = host[host.index(after: host.startIndex)..<end]
            if !rest.isEmpty {
                guard rest.hasPrefix(":"), let number = Int(rest.dropFirst()) else { return nil }
                port = number
            }
        } else if let colon = host.lastIndex(of: ":"), host.firstIndex(of: ":") == colon {
            guard let number = Int(host[host.index(after: colon)...]) else { return nil }
            port = number
            host = host[..<colon]
        }
        guard !host.isEmpty, let port, (1...65535).contains(port),
            // Brackets alone stand around a host.
            host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"/[]".utf8.contains($0) })
        else {
            return nil
        }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
