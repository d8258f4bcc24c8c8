/// The parts of a quantity: digits, how many of them are decimals, and the suffix.
struct QuantityText {
    /// All digits without the point, as a number.
    private let digits: Int64
    private let decimals: Int
    private let suffix: Suffix

    private enum Suffix {
        /// 2 to the power.
        case binary(Int)
        /// 10 to the power.
        case decimal(Int)
    }

    /// A longer text has no number that fits; the bound keeps the arithmetic below small.
    static let maximumLength = 32

    /// The schema's rule for a quantity: not negative, and with a known suffix.
    static let pattern = SchemaNode.Pattern(
        expression: #"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$"#,
        meaning: "a number of bytes such as 500Mi, 1G or 1048576")

    init?(parsing text: String) {
        guard text.utf8.count <= Self.maximumLength else { return nil }
        var rest = text.utf8[...]
        if rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        var digits: Int64 = 0
        var decimals = 0
        var seenDigit = false
        var seenPoint = false
        while let byte = rest.first {
            if byte == UInt8(ascii: "."), !seenPoint {
                seenPoint = true
            } else if (0x30...0x39).contains(byte) {
                let (tenfold, overflow) = digits.multipliedReportingOverflow(by: 10)
                let (sum, overflowAgain) = tenfold.addingReportingOverflow(Int64(byte - 0x30))
                guard !overflow, !overflowAgain else { return nil }
                digits = sum
                seenDigit = true
                if seenPoint { decimals += 1 }
            } else {
                break
            }
            rest = rest.dropFirst()
        }
        guard seenDigit, let suffix = Self.suffix(String(decoding: rest, as: UTF8.self)) else { return nil }
        self.digits = digits
        self.decimals = decimals
        self.suffix = suffix
    }

    private static func suffix(_ text: String) -> Suffix? {
        switch text {
        case "": return .decimal(0)
        case "n": return .decimal(-9)
        case "u": return .decimal(-6)
        case "m": return .decimal(-3)
        case "k": return .decimal(3)
        case "M": return .decimal(6)
        case "G": return .decimal(9)
        case "T": return .decimal(12)
        case "P": return .decimal(15)
        case "E": return .decimal(18)
        case "Ki": return .binary(10)
        case "Mi": return .binary(20)
        case "Gi": return .binary(30)
        case "Ti": return .binary(40)
        case "Pi": return .binary(50)
        case "Ei": return .binary(60)
        default:
            guard text.first == "e" || text.first == "E" else { return nil }
            guard let power = Int(text.dropFirst()), (-20...20).contains(power) else { return nil }
            return .decimal(power)
        }
    }

    /// digits * 2^b / 10^d or digits * 10^p, rounded up to an integer; nil beyond `Int64`.
    var roundedUp: Int64? {
        var value = digits
        var division = decimals
        switch suffix {
        case .binary(let power):
            // Up to 2^60 * 2^63, so the product needs 128 bits.
            let product = value.multipliedFullWidth(by: 1 << Int64(power))
            return Self.divideUp(product, byTenTo: division)
        case .decimal(let power):
            division -= power
            while division < 0 {
                let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
                guard !overflow else { return nil }
                value = tenfold
                division += 1
            }
            return Self.divideUp((high: 0, low: UInt64(value)), byTenTo: division)
        }
    }

    private static func divideUp(_ value: (high: Int64, low: UInt64), byTenTo power: Int) -> Int64? {
        var high = UInt64(value.high)
        var low = value.low
        var remains = false
        for _ in 0..<power {
            // Long division in base 2^64.
            let upper = high.quotientAndRemainder(dividingBy: 10)
            let lower = UInt64(10).dividingFullWidth((high: upper.remainder, low: low))
            high = upper.quotient
            low = lower.quotient
            if lower.remainder != 0 { remains = true }
        }
        guard high == 0, low <= UInt64(Int64.max) else { return nil }
        return remains ? (low < UInt64(Int64.max) ? Int64(low) + 1 : nil) : Int64(low)
    }
}
