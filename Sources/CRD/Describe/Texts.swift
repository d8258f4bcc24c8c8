import Foundation

/// Numbers in the form that people read.
public enum Texts {
    /// `0 B`, `253 MB`, `1.4 TB`: decimal units, in which stores bill; three digits at most.
    public static func bytes(_ count: Int64) -> String {
        var value = Double(max(0, count))
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        // 999.5 would print as 1000.
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        guard unit > 0, value < 9.95 else { return "\(Int64(value.rounded())) \(units[unit])" }
        let tenths = Int64((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10) \(units[unit])" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// `45s`, `3m20s`, `5h10m`, `12d`.
    public static func duration(_ seconds: Int64) -> String {
        switch max(0, seconds) {
        case let whole where whole < 60: "\(whole)s"
        case let whole where whole < 3600: "\(whole / 60)m\(whole % 60)s"
        case let whole where whole < 172_800: "\(whole / 3600)h\(whole % 3600 / 60)m"
        case let whole: "\(whole / 86_400)d"
        }
    }

    /// From an RFC 3339 time to `now` (seconds since 1970); nil when the time is none.
    public static func age(since time: String?, now: Double) -> Int64? {
        guard let time, let date = try? Date(time, strategy: .iso8601) else { return nil }
        return max(0, Int64(now - date.timeIntervalSince1970))
    }

    /// `a`, `a and b`, `a, b and 3 more`.
    public static func list(_ names: [String], showing limit: Int = 3) -> String {
        switch names.count {
        case 0: ""
        case 1: names[0]
        case 2...max(2, limit): names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
        default: names.prefix(limit).joined(separator: ", ") + " and \(names.count - limit) more"
        }
    }

    /// Without control characters, which could move a terminal's cursor: messages come from objects that others wrote.
    public static func plain(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) ? " " : scalar
                }))
    }

    /// `[████····]`, `cells` wide inside.
    public static func bar(percent: Int, cells: Int) -> String {
        let filled = min(100, max(0, percent)) * cells / 100
        return "[" + String(repeating: "█", count: filled) + String(repeating: "·", count: cells - filled) + "]"
    }

    /// Cut to `width` cells, with an ellipsis where text is lost.
    static func cut(_ text: String, _ width: Int) -> String {
        text.count <= width ? text : String(text.prefix(max(0, width - 1))) + "…"
    }

    /// Columns for people, padded with spaces, except the last one.
    static func table(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }.joined(separator: "   ")
        }
    }
}
