import AgentAPI

/// Where a server listens. Port 0: one that the kernel picks.
struct BindAddress: Equatable, CustomStringConvertible {
    let host: String
    let port: Int

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// - Parameter wildcard: the host of an address without one.
    init?(_ text: String, wildcard: String = EveryAddress.host) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        self.host = host.isEmpty ? wildcard : String(host)
        self.port = port
    }
}
