/// RFC 3339 in UTC without the cost of a calendar: a list of 10,000 Jobs has some 30,000 times.
package enum RFC3339 {
    package struct Moment: Equatable, Sendable {
        package var seconds: Int64
        /// 0..<1,000,000; finer digits are cut off.
        package var microseconds: Int64
    }

    /// Nil when `text` is no time of RFC 3339 section 5.6. A leap second counts as the second before it.
    package static func parse(_ text: String) -> Moment? {
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
            (1...12).contains(month), day >= 1, day <= CivilDate.days(in: month, of: year), hour < 24, minute < 60,
            second <= 60
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

        let seconds = CivilDate(year: year, month: month, day: day).daysSinceEpoch * 86_400 + hour * 3_600 + minute * 60
        return Moment(seconds: seconds + min(second, 59) - offset, microseconds: micros)
    }

    package static func text(secondsSinceEpoch: Int64, microseconds: Int64? = nil) -> String {
        let (days, ofDay) = secondsSinceEpoch.flooredDivision(by: 86_400)
        let date = CivilDate(daysSinceEpoch: days)
        var text = padded(date.year, 4) + "-" + padded(date.month, 2) + "-" + padded(date.day, 2)
        text += "T" + padded(ofDay / 3_600, 2) + ":" + padded(ofDay / 60 % 60, 2) + ":" + padded(ofDay % 60, 2)
        if let microseconds { text += "." + padded(microseconds, 6) }
        return text + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
