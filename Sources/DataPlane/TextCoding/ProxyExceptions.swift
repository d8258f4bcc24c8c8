/// The hosts that `NO_PROXY` excepts from the environment's proxies.
///
/// Its entries are separated by commas or spaces: `*`, addresses, networks such as `10.0.0.0/8`, and names, which mean
/// themselves and all names below them; an address or a name may have a port (Go's rules,
/// https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config, which hold what curl's do). An entry that means nothing
/// is passed over, as other programs do. A pure value.
public struct ProxyExceptions: Sendable, Hashable {
    /// The meaning of `.example.com`.
    public enum LeadingDot: Sendable {
        /// `example.com` and the names below it, as curl has it.
        case nameAndBelow
        /// The names below it alone, as Go's programs have it.
        case below
    }

    private struct Entry: Hashable {
        enum Place: Hashable {
            case everything
            case name(String, below: String)
            case below(String)
            case addresses(AddressRange)
        }
        let place: Place
        var port: UInt16?
    }
    private var entries: [Entry] = []

    public init(_ text: String, leadingDot: LeadingDot) {
        entries = text.split { $0 == "," || $0.isWhitespace }.compactMap { Self.entry($0, leadingDot) }
    }

    private static func entry(_ text: Substring, _ leadingDot: LeadingDot) -> Entry? {
        if text == "*" { return Entry(place: .everything) }
        if text.contains("/") { return AddressRange(text).map { Entry(place: .addresses($0)) } }
        guard let parts = HostPort(text) else { return nil }
        if let address = NumericAddress.bytes(of: parts.host) {
            return Entry(place: .addresses(AddressRange(only: address)), port: parts.port)
        }
        var name = parts.host.lowercased()[...]
        if name.hasSuffix(".") { name.removeLast() }
        if name.hasPrefix("*.") { name.removeFirst() }
        let isDotted = name.hasPrefix(".")
        if isDotted { name.removeFirst() }
        guard !name.isEmpty else { return nil }
        let isBelowAlone = isDotted && leadingDot == .below
        return Entry(
            place: isBelowAlone ? .below(".\(name)") : .name(String(name), below: ".\(name)"), port: parts.port)
    }

    /// Whether `host`, a name or an address without brackets, is reached directly at `port`.
    public func contain(_ host: String, port: UInt16) -> Bool {
        let name = host.lowercased()
        return entries.contains { entry in
            if let own = entry.port, own != port { return false }
            switch entry.place {
            case .everything: return true
            case .name(let own, let below): return name == own || name.hasSuffix(below)
            case .below(let below): return name.hasSuffix(below)
            case .addresses(let range): return NumericAddress.bytes(of: host).map(range.contains) ?? false
            }
        }
    }
}
