// TextCoding: texts that several modules read or write.
//
// - `Hex` and `PercentCoding` code bytes. `UTCTime` and `RFC3339` code times, by `CivilDate`.
// - `HostPort` and `NumericAddress` read addresses, and `ProxyExceptions` reads `NO_PROXY`.
// - `KeyRules` says which object keys can be files.
// - `PrometheusText` writes metrics.
// - `BooleanWords` reads switches with a value.
// - `SettingError` is a wrong setting: its name, value, problem and remedy.
// Invariants:
// - Everything is a pure value or function: no file, no network, no clock, no locale.
// - Signatures are made over `PercentCoding` and `UTCTime`: one other byte, and a store refuses the request.
// - No key that `KeyRules` accepts leaves a cache's directory or takes the place of the cache's own files.
// - The maker of a `SettingError` leaves the value of a secret out.
// Left to others: the meaning of these texts. No module of this package is known here.

/// A setting that is missing or wrong: which one, what it holds, and what to write instead.
///
/// `value` is shown to people, so it never holds a secret: whoever builds one for a key leaves it empty.
public struct SettingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The name the person knows the setting by, usually an environment variable.
    public let field: String
    /// The value that was found; nil when the setting is missing or secret.
    public let value: String?
    /// The fault of the value, as half a sentence.
    public let problem: String
    /// The remedy, as an imperative.
    public let remedy: String

    public init(field: String, value: String?, problem: String, remedy: String) {
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy
    }

    /// One line: `OSS_PATH "models/x": has no scheme; write it as oss://bucket/prefix/`.
    public var description: String {
        let shown = value.map { " \"\($0.prefix(bytes: 200).oneLine)\"" } ?? ""
        return "\(field)\(shown): \(problem); \(remedy)"
    }
}

extension String {
    /// The beginning of whole Unicode scalars that has at most so many bytes. A character has any number of them.
    package func prefix(bytes limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var kept = UnicodeScalarView()
        var bytes = 0
        for scalar in unicodeScalars {
            bytes += UTF8.width(scalar)
            guard bytes <= limit else { break }
            kept.append(scalar)
        }
        return String(kept)
    }

    /// The text without control characters, fit for a log line.
    package var oneLine: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 }))
    }
}
