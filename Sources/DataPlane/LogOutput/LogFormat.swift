public import FoundationEssentials
public import Logging

/// How an event is written as one line, whatever its texts hold: a store's message can begin no line of its own.
public enum LogFormat: String, Sendable, Hashable, CaseIterable {
    /// `2026-01-02T03:04:05.678Z info label: message key=value`
    case text
    /// `{"time":…,"level":…,"logger":…,"message":…,"key":"value"}`
    case json

    /// One line without its end.
    ///
    /// - Parameter fields: in the order in which they are written. In JSON, one whose key is a word of the line itself
    ///   gets `_` behind it.
    public func line(
        time: Date, level: Logger.Level, label: String, message: String, fields: [(key: String, value: String)]
    ) -> String {
        let time = Self.timestamp.format(time)
        switch self {
        case .text:
            var line = "\(time) \(level) \(label): \(message.contains(where: \.isNewline) ? Self.quoted(message) : message)"
            for (key, value) in fields {
                let isPlain = !value.isEmpty && !value.contains { $0 == " " || $0 == "\"" || $0 == "=" || $0.isNewline }
                line += " \(key)=\(isPlain ? value : Self.quoted(value))"
            }
            return line
        case .json:
            let own = [("time", time), ("level", level.rawValue), ("logger", label), ("message", message)]
            let words = Set(own.map(\.0))
            let others = fields.map { (words.contains($0.key) ? "\($0.key)_" : $0.key, $0.value) }
            return "{" + (own + others).map { "\(Self.quoted($0.0)):\(Self.quoted($0.1))" }.joined(separator: ",") + "}"
        }
    }

    /// RFC 3339, with milliseconds and in UTC.
    private static let timestamp = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

    /// A JSON string (RFC 8259).
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where isUnseen(scalar):
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    /// The control characters of ASCII and Latin-1, with U+0085, and the line ends of Unicode.
    private static func isUnseen(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
    }
}
