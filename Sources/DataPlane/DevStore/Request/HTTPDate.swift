internal import Glibc

/// Converts dates of HTTP, signatures and listings to and from seconds since 1970. Always UTC and English, in any
/// locale.
package enum HTTPDate {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sat, 21 Nov 2026 05:00:00 GMT` (RFC 9110, 5.6.7).
    package static func rfc1123(_ seconds: Int64) -> String {
        let t = fields(seconds)
        return "\(days[Int(t.tm_wday)]), \(two(t.tm_mday)) \(months[Int(t.tm_mon)]) \(t.tm_year + 1900) "
            + "\(two(t.tm_hour)):\(two(t.tm_min)):\(two(t.tm_sec)) GMT"
    }

    /// `2026-11-21T05:00:00.000Z`.
    package static func iso8601(_ seconds: Int64) -> String {
        let t = fields(seconds)
        return "\(t.tm_year + 1900)-\(two(t.tm_mon + 1))-\(two(t.tm_mday))"
            + "T\(two(t.tm_hour)):\(two(t.tm_min)):\(two(t.tm_sec)).000Z"
    }

    /// Reads `Sat, 21 Nov 2026 05:00:00 GMT` and the `-0000`/`+0000` endings that some clients write.
    package static func parseRFC1123(_ text: String) -> Int64? {
        let parts = text.split(separator: " ")
        guard parts.count >= 5, let day = Int32(parts[1]), let month = months.firstIndex(of: String(parts[2])),
            let year = Int32(parts[3])
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int32($0) }
        guard clock.count == 3 else { return nil }
        return seconds(year, Int32(month), day, clock[0], clock[1], clock[2])
    }

    /// Reads `20261121T050000Z`.
    package static func parseBasic(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int32? { Int32(String(decoding: bytes[range], as: UTF8.self)) }
        guard let y = number(0..<4), let mo = number(4..<6), let d = number(6..<8), let h = number(9..<11),
            let mi = number(11..<13), let s = number(13..<15)
        else { return nil }
        return seconds(y, mo - 1, d, h, mi, s)
    }

    /// `2026-11-21T05:00:00Z`, the form of an expiry in key files; plain seconds since 1970 are accepted too.
    package static func parseExpiry(_ text: String) -> Int64? {
        if let seconds = Int64(text) { return seconds }
        return parseBasic(text.filter { $0 != "-" && $0 != ":" })
    }

    private static func seconds(
        _ year: Int32, _ month: Int32, _ day: Int32, _ hour: Int32, _ minute: Int32, _ second: Int32
    ) -> Int64 {
        var t = tm()
        t.tm_year = year - 1900
        t.tm_mon = month
        t.tm_mday = day
        t.tm_hour = hour
        t.tm_min = minute
        t.tm_sec = second
        return Int64(timegm(&t))
    }

    private static func fields(_ seconds: Int64) -> tm {
        var t = tm()
        var time = time_t(seconds)
        _ = gmtime_r(&time, &t)
        return t
    }

    private static func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
}
