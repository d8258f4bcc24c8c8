internal import TextCoding

/// A request's head as the store judges it, without sockets.
package struct StoreRequest: Sendable {
    /// Upper case, as on the request line.
    package var method: String
    /// The path as sent, still percent-coded, without the query.
    package var rawPath: String
    /// Query items decoded, in the order sent.
    package var query: [(name: String, value: String)]
    /// Names in lower case, values without surrounding blanks.
    package var headers: [(name: String, value: String)]
    /// The peer's address, for statistics.
    package var remote: String

    /// Nil when the target's escapes are broken.
    package init?(method: String, target: String, headers: [(String, String)], remote: String = "") {
        self.method = method
        self.remote = remote
        self.headers = headers.map { ($0.0.lowercased(), Self.trim($0.1)) }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.rawPath = parts.isEmpty || parts[0].isEmpty ? "/" : String(parts[0])
        self.query = []
        guard parts.count == 2 else { return }
        for pair in parts[1].split(separator: "&", omittingEmptySubsequences: true) {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentCoding.decode(halves[0], plusIsSpace: true),
                let value = halves.count == 2 ? PercentCoding.decode(halves[1], plusIsSpace: true) : ""
            else { return nil }
            query.append((name, value))
        }
    }

    /// The first header of that lower-case name.
    package func header(_ name: String) -> String? {
        headers.first { $0.name == name }?.value
    }

    /// The first query item of that name; "" for one without a value.
    package func parameter(_ name: String) -> String? {
        query.first { $0.name == name }?.value
    }

    private static func trim(_ value: String) -> String {
        var text = value[...]
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
