/// Where a server listens. Port 0: one that the kernel picks.
struct BindAddress: Equatable, CustomStringConvertible {
    let host: String
    let port: Int

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        // Without a host Go listens on every address of both families; `::` does that on Linux, but not where IPv6 is off.
        self.host = host.isEmpty ? "0.0.0.0" : String(host)
        self.port = port
    }
}
