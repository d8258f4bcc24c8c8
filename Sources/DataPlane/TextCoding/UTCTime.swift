/// Seconds since 1970 in the spellings that HTTP and the signatures use; no locale, no time zone.
package struct UTCTime: Sendable, Hashable {
    package let seconds: Int64

    package init(seconds: Int64) { self.seconds = seconds }

    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sat, 21 Nov 2026 05:43:40 GMT` (RFC 9110, IMF-fixdate).
    package var httpDate: String {
        let date = date
        // 1 January 1970 was a Thursday.
        let weekday = (seconds.flooredDivision(by: 86_400).quotient + 4).flooredDivision(by: 7).remainder
        let month = Self.months[Int(date.month) - 1]
        return "\(Self.days[Int(weekday)]), \(pad(date.day)) \(month) \(date.year) \(clock(separator: ":")) GMT"
    }

    /// `20261121T054340Z` (ISO 8601 basic), as V4 signatures date requests.
    package var basic: String { "\(basicDay)T\(clock(separator: ""))Z" }

    /// `2026-11-21T05:43:40Z` (ISO 8601 extended).
    package var iso8601: String {
        let date = date
        return "\(date.year)-\(pad(date.month))-\(pad(date.day))T\(clock(separator: ":"))Z"
    }

    /// `20261121`, the day in a V4 scope.
    package var basicDay: String {
        let date = date
        return "\(date.year)\(pad(date.month))\(pad(date.day))"
    }

    /// Parses an IMF-fixdate; nil for anything else.
    package init?(httpDate text: String) {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let month = Self.months.firstIndex(of: String(words[2])),
            let day = Int64(words[1]), let year = Int64(words[3]), (1600...9999).contains(year), (1...31).contains(day)
        else { return nil }
        let clock = words[4].split(separator: ":").compactMap { Int64($0) }
        guard clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]), (0...60).contains(clock[2])
        else { return nil }
        let days = CivilDate(year: year, month: Int64(month) + 1, day: day).daysSinceEpoch
        seconds = days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    }

    /// Parses `2026-11-21T05:43:40Z` and the other forms of RFC 3339; a fraction of a second is cut off.
    package init?(iso8601 text: String) {
        guard let moment = RFC3339.parse(text) else { return nil }
        seconds = moment.seconds
    }

    private var date: CivilDate { CivilDate(daysSinceEpoch: seconds.flooredDivision(by: 86_400).quotient) }

    private func clock(separator: String) -> String {
        let ofDay = seconds.flooredDivision(by: 86_400).remainder
        return [ofDay / 3_600, ofDay / 60 % 60, ofDay % 60].map(pad).joined(separator: separator)
    }

    private func pad(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
