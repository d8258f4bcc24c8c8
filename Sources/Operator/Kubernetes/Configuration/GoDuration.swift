/// Durations as Go writes them, and so kubectl: `15s`, `1m30s`, `500ms`, `1.5h`.
public enum GoDuration {
    private static let units: [(name: String, seconds: Double)] = [("ms", 0.001), ("h", 3600), ("m", 60), ("s", 1)]

    /// Tells people how to write a duration.
    public static let remedy = "write a duration such as 15s or 1m30s"

    /// A text that is no duration.
    public struct Malformed: Error, CustomStringConvertible {
        public var description: String { GoDuration.remedy }
    }

    /// The value of a flag.
    public static func flag(_ text: String) throws(Malformed) -> Duration {
        guard let duration = parse(text) else { throw Malformed() }
        return duration
    }

    /// Nil: the text is no duration, or one of more than 1e9 seconds.
    public static func parse(_ text: String) -> Duration? {
        var rest = Substring(text)
        var seconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard let number = Double(digits), number.isFinite else { return nil }
            rest = rest.dropFirst(digits.count)
            guard let unit = units.first(where: { rest.hasPrefix($0.name) }) else { return nil }
            rest = rest.dropFirst(unit.name.count)
            seconds += number * unit.seconds
        }
        return seconds <= 1e9 ? .milliseconds(Int64((seconds * 1000).rounded())) : nil
    }
}
