/// `resource.Quantity`: an amount with a suffix, kept as written
/// (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/).
public struct Quantity: Codable, Sendable, Hashable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// "500Mi", "2", "1e9", "100m".
    public var text: String

    public init(_ text: String) { self.text = text }
    public init(stringLiteral value: String) { text = value }
    public init(_ value: Int64) { text = String(value) }

    public var description: String { text }

    /// The amount in units (bytes, cores, pods), rounded up as the API does; saturating. Nil when the text is no
    /// quantity.
    public var value: Int64? { scaled(by: 1) }

    /// The amount in thousandths, the unit of CPU.
    public var milliValue: Int64? { scaled(by: 1_000) }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        // The schema is int-or-string.
        if let number = try? container.decode(Int64.self) {
            text = String(number)
        } else if let number = try? container.decode(Double.self) {
            text = String(number)
        } else {
            text = try container.decode(String.self)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    private func scaled(by factor: Double) -> Int64? {
        let number = text.prefix { "0123456789.+-".contains($0) }
        let suffix = text.dropFirst(number.count)
        guard let mantissa = Double(number), let multiplier = Self.multiplier(suffix) else { return nil }
        // Integers are the rule and are exact; fractions go through Double, exact up to 2^53.
        if let whole = Int64(number), let exact = Int64(exactly: multiplier * factor) {
            let (product, overflow) = whole.multipliedReportingOverflow(by: exact)
            return overflow ? (whole < 0 ? .min : .max) : product
        }
        let product = (mantissa * multiplier * factor).rounded(.up)
        return product >= 9.2e18 ? .max : product <= -9.2e18 ? .min : Int64(product)
    }

    private static func multiplier(_ suffix: Substring) -> Double? {
        switch suffix {
        case "": 1
        case "n": 1e-9
        case "u": 1e-6
        case "m": 1e-3
        case "k": 1e3
        case "M": 1e6
        case "G": 1e9
        case "T": 1e12
        case "P": 1e15
        case "E": 1e18
        case "Ki": 0x1p10
        case "Mi": 0x1p20
        case "Gi": 0x1p30
        case "Ti": 0x1p40
        case "Pi": 0x1p50
        case "Ei": 0x1p60
        default:
            if let first = suffix.first, first == "e" || first == "E", let exponent = Int(suffix.dropFirst()),
                (-30...30).contains(exponent)
            {
                Double("1e\(exponent)")
            } else {
                nil
            }
        }
    }
}
