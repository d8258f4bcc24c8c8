/// Byte counts as people write and read them.
public enum ByteCount {
    private static let factors: [(suffix: String, factor: Int64)] = [
        ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40),
        ("ki", 1 << 10), ("mi", 1 << 20), ("gi", 1 << 30), ("ti", 1 << 40),
        ("kb", 1_000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000),
        ("k", 1_000), ("m", 1_000_000), ("g", 1_000_000_000), ("t", 1_000_000_000_000),
        ("b", 1),
    ]

    /// Parses `268435456`, `256MiB`, `256Mi`, `1.5GB`; suffixes as in Kubernetes quantities and in `dd`. Nil when it is
    /// none.
    public static func parse(_ text: String) -> Int64? {
        let lowered = text.lowercased().filter { $0 != " " }
        var digits = Substring(lowered)
        var factor: Int64 = 1
        if let match = factors.first(where: { lowered.hasSuffix($0.suffix) }) {
            digits = lowered.dropLast(match.suffix.count)
            factor = match.factor
        }
        guard let value = Double(digits), value.isFinite, value >= 0 else { return nil }
        let bytes = value * Double(factor)
        guard bytes < 9e18 else { return nil }
        return Int64(bytes)
    }

    /// Three significant digits and a decimal unit, as network figures are given: `253 MB`, `1.27 GB`.
    public static func format(_ bytes: Int64) -> String {
        let units: [(Double, String)] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
        let value = Double(bytes)
        for (scale, unit) in units where value >= scale * 0.9995 {
            let scaled = value / scale
            let decimals = scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2
            return "\(fixed(scaled, decimals: decimals)) \(unit)"
        }
        return "\(bytes) B"
    }

    /// `value` rounded half away from zero to `decimals` places.
    public static func fixed(_ value: Double, decimals: Int) -> String {
        guard decimals > 0 else { return String(Int64(value.rounded())) }
        var scale: Int64 = 1
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int64((value.magnitude * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        let padding = String(repeating: "0", count: decimals - fraction.count)
        return "\(value < 0 && scaled > 0 ? "-" : "")\(scaled / scale).\(padding)\(fraction)"
    }
}
