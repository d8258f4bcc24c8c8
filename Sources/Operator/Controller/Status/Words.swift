/// How numbers and names are said to people.
enum Words {
    /// Up to three names, and how many there are besides.
    static func list(_ names: [String], most: Int = 3) -> String {
        let shown = names.prefix(most).joined(separator: ", ")
        return names.count > most ? "\(shown) and \(names.count - most) more" : shown
    }

    /// Up to three of these, and how many there are besides.
    static func clauses(_ texts: some Collection<String>) -> String {
        let shown = texts.prefix(3).joined(separator: "; ")
        return texts.count > 3 ? "\(shown); and \(texts.count - 3) more" : shown
    }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// Decimal units, three digits at most, as disk and network vendors count: `253 MB`, `1.2 GB`.
    static func bytes(_ number: Int64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        var value = Double(max(0, number))
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        if unit == 0 || value >= 99.5 { return "\(Int64(value.rounded())) \(units[unit])" }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// At most `limit` Unicode scalars on one line, as the API server counts a text's length.
    static func line(_ text: String, limit: Int) -> String {
        let flat = text.unicodeScalars.lazy.map { $0.value < 0x20 || $0.value == 0x7f ? " " as Unicode.Scalar : $0 }
        let isShort = text.unicodeScalars.count <= limit
        let kept = String(String.UnicodeScalarView(flat.prefix(isShort ? limit : limit - 1)))
        return isShort ? kept : kept + "…"
    }
}
