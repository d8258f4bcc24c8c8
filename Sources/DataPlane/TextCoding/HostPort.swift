/// `host[:port]`, an IPv6 address with brackets where a port may follow.
public struct HostPort: Sendable, Hashable {
    /// Without brackets.
    public let host: String
    public let port: UInt16?

    /// Nil: what stands where a port would is none.
    public init?(_ text: Substring) {
        var host = text
        var tail: Substring = ""
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = text[..<end].dropFirst()
            tail = text[text.index(after: end)...]
        } else if let colon = text.firstIndex(of: ":"), text.lastIndex(of: ":") == colon {
            // More than one colon and no bracket: an IPv6 address alone.
            (host, tail) = (text[..<colon], text[colon...])
        }
        self.host = String(host)
        guard !tail.isEmpty else {
            port = nil
            return
        }
        guard tail.hasPrefix(":"), tail.dropFirst().utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(tail.dropFirst())
        else { return nil }
        self.port = port
    }
}
