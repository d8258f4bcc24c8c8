/// Bounds and forms of what people read. Names come from objects that nobody has checked yet.
public enum Wording {
    /// The API server may cut longer ones.
    public static let longestWarning = 256
    /// It passes on 4096 bytes in all.
    public static let mostWarnings = 15
    /// Of the annotation that tells why a pod was left alone.
    static let longestStatus = 800
    private static let longestName = 80

    /// One line of printable characters, in quotes.
    static func quoted(_ name: String) -> String { "\"\(line(name, longest: longestName))\"" }

    /// `"a", "b" and 3 more`.
    static func list(_ names: [String], most: Int = 8) -> String {
        let shown = names.prefix(most).map(quoted).joined(separator: ", ")
        return names.count > most ? "\(shown) and \(names.count - most) more" : shown
    }

    /// Without what breaks a line or a terminal, and of at most `longest` bytes.
    static func line(_ text: String, longest: Int) -> String {
        var kept = ""
        var bytes = 0
        for scalar in text.unicodeScalars {
            // Controls, line and paragraph separators, and what turns the direction of writing.
            let isPlain =
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
                default: true
                }
            let shown: Unicode.Scalar = isPlain ? scalar : " "
            bytes += UTF8.width(shown)
            guard bytes <= longest - 3 else { return kept + "…" }
            kept.unicodeScalars.append(shown)
        }
        return kept
    }

    /// As many and as long as the API server passes on.
    static func bounded(_ warnings: [String]) -> [String] {
        var kept = warnings.prefix(mostWarnings).map { line($0, longest: longestWarning) }
        if warnings.count > mostWarnings { kept.append("modelcache: \(warnings.count - mostWarnings) more warnings") }
        return kept
    }
}
