/// Seconds since 1970 in the spellings that HTTP and the signatures use; no locale, no time zone.
struct UTCTime: Sendable, Hashable {
    let seconds: Int64

    init(seconds: Int64) { self.seconds = seconds }

    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sat, 21 Nov 2026 05:43:40 GMT` (RFC 9110, IMF-fixdate).
    var httpDate: String {
        let (year, month, day) = civil
        let weekday = Int(((seconds.floorDivided(by: 86400) + 4) % 7 + 7) % 7)
        return "\(Self.days[weekday]), \(pad(day)) \(Self.months[Int(month) - 1]) \(year) \(clock(separator: ":")) GMT"
    }

    /// `20261121T054340Z` (ISO 8601 basic), as V4 signatures date requests.
    var basic: String { "\(basicDay)T\(clock(separator: ""))Z" }

    /// `20261121`, the day in a V4 scope.
    var basicDay: String {
        let (year, month, day) = civil
        return "\(year)\(pad(month))\(pad(day))"
    }

    /// Parses an IMF-fixdate; nil for anything else.
    init?(httpDate text: String) {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let month = Self.months.firstIndex(of: String(words[2])) else {
            return nil
        }
        let clock = words[4].split(separator: ":")
        self.init(words[3], String(month + 1)[...], words[1], clock)
    }

    /// Parses `2026-11-21T05:43:40Z`, with or without a fraction of a second.
    init?(iso8601 text: String) {
        let halves = text.split(separator: "T")
        guard halves.count == 2, halves[1].hasSuffix("Z") else { return nil }
        let day = halves[0].split(separator: "-")
        guard day.count == 3 else { return nil }
        let clock = halves[1].dropLast().prefix { $0 != "." }.split(separator: ":")
        self.init(day[0], day[1], day[2], clock)
    }

    private init?(_ year: Substring, _ month: Substring, _ day: Substring, _ clock: [Substring]) {
        guard clock.count == 3, let y = Int64(year), let m = Int64(month), let d = Int64(day), let hour = Int64(clock[0]),
            let minute = Int64(clock[1]), let second = Int64(clock[2]), (1600...9999).contains(y),
            (1...12).contains(m), (1...31).contains(d), (0...23).contains(hour), (0...59).contains(minute),
            (0...60).contains(second)
        else { return nil }
        // Days from civil: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let shifted = m <= 2 ? y - 1 : y
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let daysSince1970 = era * 146_097 + dayOfEra - 719_468
        self.seconds = daysSince1970 * 86400 + hour * 3600 + minute * 60 + second
    }

    private var civil: (year: Int64, month: Int64, day: Int64) {
        let shifted = seconds.floorDivided(by: 86400) + 719_468
        let era = shifted.floorDivided(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let index = (5 * dayOfYear + 2) / 153
        let month = index < 10 ? index + 3 : index - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * index + 2) / 5 + 1)
    }

    private func clock(separator: String) -> String {
        let inDay = seconds - seconds.floorDivided(by: 86400) * 86400
        return [inDay / 3600, inDay / 60 % 60, inDay % 60].map(pad).joined(separator: separator)
    }

    private func pad(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
