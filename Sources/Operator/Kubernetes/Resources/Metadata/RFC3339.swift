/// RFC 3339 in UTC without a calendar's cost: a list of 10,000 Jobs carries some 30,000 times.
enum RFC3339 {
    struct Moment: Equatable {
        var seconds: Int64
        /// 0..<1,000,000; what is finer is cut off.
        var microseconds: Int64
    }

    /// Nil when `text` is not a time of RFC 3339 section 5.6. A leap second counts as the second before it.
    static func parse(_ text: String) -> Moment? {
        var text = text
        return text.withUTF8 { parse($0) }
    }

    private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Moment? {
        func number(_ at: Int, _ count: Int) -> Int64? {
            guard at + count <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[at..<(at + count)] {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        func has(_ at: Int, _ character: Character) -> Bool {
            at < bytes.count && bytes[at] == character.asciiValue
        }
        guard let year = number(0, 4), has(4, "-"), let month = number(5, 2), has(7, "-"), let day = number(8, 2),
            has(10, "T") || has(10, "t"), let hour = number(11, 2), has(13, ":"), let minute = number(14, 2),
            has(16, ":"), let second = number(17, 2),
            (1...12).contains(month), day >= 1, day <= daysIn(month, of: year), hour < 24, minute < 60, second <= 60
        else { return nil }

        var at = 19
        var micros: Int64 = 0
        if has(at, ".") {
            at += 1
            let first = at
            var unit: Int64 = 100_000
            while let digit = number(at, 1) {
                micros += digit * unit
                unit /= 10
                at += 1
            }
            guard at > first else { return nil }
        }

        var offset: Int64 = 0
        if has(at, "Z") || has(at, "z") {
            at += 1
        } else if has(at, "+") || has(at, "-") {
            guard let hours = number(at + 1, 2), has(at + 3, ":"), let minutes = number(at + 4, 2), hours < 24,
                minutes < 60
            else { return nil }
            offset = (hours * 60 + minutes) * 60 * (has(at, "-") ? -1 : 1)
            at += 6
        } else {
            return nil
        }
        guard at == bytes.count else { return nil }

        let seconds = daysSinceEpoch(year: year, month: month, day: day) * 86_400 + hour * 3_600 + minute * 60
        return Moment(seconds: seconds + min(second, 59) - offset, microseconds: micros)
    }

    static func text(secondsSinceEpoch: Int64, microseconds: Int64? = nil) -> String {
        let (days, ofDay) = secondsSinceEpoch.flooredDivision(by: 86_400)
        let (year, month, day) = civil(daysSinceEpoch: days)
        var text = padded(year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2)
        text += "T" + padded(ofDay / 3_600, 2) + ":" + padded(ofDay / 60 % 60, 2) + ":" + padded(ofDay % 60, 2)
        if let microseconds { text += "." + padded(microseconds, 6) }
        return text + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func daysIn(_ month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: return 30
        default: return 31
        }
    }

    // Days and dates of the proleptic Gregorian calendar, in eras of 400 years that start on 1 March:
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    private static func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let (era, ofEra) = year.flooredDivision(by: 400)
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + dayOfYear - 719_468
    }

    private static func civil(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, ofEra) = (daysSinceEpoch + 719_468).flooredDivision(by: 146_097)
        let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let dayOfYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

extension Int64 {
    /// Quotient towards minus infinity, and the remainder that goes with it, never negative.
    func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
