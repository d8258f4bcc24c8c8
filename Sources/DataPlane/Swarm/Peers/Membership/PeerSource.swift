/// How a node finds the others: the value of `--peers`.
public enum PeerSource: Sendable, Equatable {
    /// Every address of a DNS name, such as a headless Service's; asked again every few seconds.
    case dns(name: String, port: Int?)
    /// These, numeric or names.
    case fixed([String])
    /// One a line; `#` begins a comment. Read again every few seconds.
    case file(String)

    /// `dns:<name>[:port]`, `static:<a>,<b>`, `file:<path>`. Nil: not such a text.
    public init?(_ text: String) {
        guard let colon = text.firstIndex(of: ":") else { return nil }
        let rest = text[text.index(after: colon)...]
        guard !rest.isEmpty else { return nil }
        switch text[..<colon] {
        case "dns":
            let parts = rest.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2, !parts[0].isEmpty else { return nil }
            if parts.count == 2 {
                guard let port = Int(parts[1]), (1...65535).contains(port) else { return nil }
                self = .dns(name: String(parts[0]), port: port)
            } else {
                self = .dns(name: String(rest), port: nil)
            }
        case "static":
            let entries = rest.split(separator: ",").map { String($0.filter { $0 != " " }) }.filter { !$0.isEmpty }
            guard !entries.isEmpty, entries.allSatisfy({ PeerAddress($0, defaultPort: 1) != nil }) else { return nil }
            self = .fixed(entries)
        case "file":
            guard rest.hasPrefix("/") else { return nil }
            self = .file(String(rest))
        default: return nil
        }
    }
}
