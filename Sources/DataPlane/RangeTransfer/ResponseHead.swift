package import TextCoding

/// Status and headers of an answer, fed line by line; untrusted, so bounded.
package struct ResponseHead: Sendable, Hashable {
    package private(set) var status = 0
    private var fields: [String: String] = [:]
    private var lines = 0

    package static let maximumLines = 128
    package static let maximumLineBytes = 8192

    /// Two different lengths, ranges, codings or versions are an attempt to mislead, or a broken proxy.
    private static let singular: Set = [
        "content-length", "content-range", "content-encoding", "transfer-encoding", "etag",
    ]

    package init() {}

    /// Takes one line without its end. False when the head is malformed or too large.
    package mutating func consume(line: String) -> Bool {
        lines += 1
        guard lines <= Self.maximumLines, line.utf8.count <= Self.maximumLineBytes else { return false }
        // A tab is the one control character that a field may hold (RFC 9110, 5.5).
        guard line.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else { return false }
        if line.hasPrefix("HTTP/") {
            // A second status line follows an interim answer (100): start again.
            fields = [:]
            let words = line.split(separator: " ", maxSplits: 2)
            guard words.count >= 2, words[1].utf8.count == 3, let code = Int(words[1]), (100...599).contains(code)
            else {
                return false
            }
            status = code
            return true
        }
        guard let colon = line.firstIndex(of: ":"), status != 0 else { return false }
        let name = line[..<colon].lowercased()
        let value = Self.trimmed(line[line.index(after: colon)...])
        if Self.singular.contains(name), let other = fields[name], other != value { return false }
        fields[name] = value
        return true
    }

    package subscript(name: String) -> String? { fields[name] }

    package var entityTag: String? { fields["etag"].map(Self.unquoted) }
    package var contentLength: UInt64? { fields["content-length"].flatMap(Self.number) }
    package var date: UTCTime? { fields["date"].flatMap { UTCTime(httpDate: $0) } }

    /// `bytes first-last/total` (RFC 9110, 14.4); nil when absent or malformed.
    package var contentRange: (first: UInt64, last: UInt64, total: UInt64)? {
        guard let text = fields["content-range"], text.hasPrefix("bytes ") else { return nil }
        let parts = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Self.number(ends[0]), let last = Self.number(ends[1]),
            let total = Self.number(parts[1]), first <= last, last < total
        else { return nil }
        return (first, last, total)
    }

    /// How long the server asks us to wait (RFC 9110, 10.2.3); at most an hour is believed.
    package var retryAfter: Duration? {
        guard let text = fields["retry-after"] else { return nil }
        if let seconds = Self.number(text) { return .seconds(min(seconds, 3600)) }
        guard let until = UTCTime(httpDate: text), let now = date else { return nil }
        return .seconds(min(max(until.seconds - now.seconds, 0), 3600))
    }

    /// An entity tag without its quotes. A proxy that may change an answer's coding makes the server's tag weak
    /// (`W/"x"`); the server itself knows the strong one, so that is what is compared and sent.
    package static func unquoted(_ text: String) -> String {
        let text = text.hasPrefix("W/\"") ? String(text.dropFirst(2)) : text
        return text.count >= 2 && text.hasPrefix("\"") && text.hasSuffix("\"")
            ? String(text.dropFirst().dropLast()) : text
    }

    /// Decimal digits alone: no sign, no blank.
    package static func number(_ text: some StringProtocol) -> UInt64? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(text) : nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var bytes = text.utf8.drop { $0 == 0x20 || $0 == 0x09 }
        while let last = bytes.last, last == 0x20 || last == 0x09 || last == 0x0d || last == 0x0a {
            bytes = bytes.dropLast()
        }
        return String(Substring(bytes))
    }
}
