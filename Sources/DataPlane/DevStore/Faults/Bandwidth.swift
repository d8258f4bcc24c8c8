/// A rate over time, as a schedule: each send waits for its turn. Sends leave evenly, because every reservation moves
/// the next free moment by the time that its bytes take.
package struct Bandwidth: Sendable {
    package let bytesPerSecond: Double
    private var nextFree: Int64 = .min
    /// An idle sender may catch up on this much, which compensates timers that fire late.
    static let slackNanoseconds: Int64 = 2_000_000

    /// The largest send under a cap, so that the rate is smooth.
    package static let sendBytes: Int64 = 64 << 10

    /// Nil for no cap.
    package init?(bytesPerSecond: Double?) {
        guard let bytesPerSecond, bytesPerSecond > 0 else { return nil }
        self.bytesPerSecond = bytesPerSecond
    }

    /// Nanoseconds to wait before the bytes may be sent. `now` is any monotonic clock.
    package mutating func reserve(bytes: Int64, now: Int64) -> Int64 {
        let start = max(nextFree, now - Self.slackNanoseconds)
        nextFree = start + Int64(Double(bytes) / bytesPerSecond * 1e9)
        return max(0, start - now)
    }

    /// Reads `100MB`, `64KiB`, `1.5GB`, `12500000`; also `800Mbit`. Nil for anything else; 0 means no cap.
    package static func parse(_ text: String) -> Double? {
        let number = text.prefix { $0.isNumber || $0 == "." }
        guard let value = Double(number) else { return nil }
        var unit = text.dropFirst(number.count).lowercased()
        if unit.hasSuffix("/s") { unit.removeLast(2) }
        let scale: [String: Double] = [
            "": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "kib": 1024,
            "mib": 1_048_576, "gib": 1_073_741_824, "kbit": 125, "mbit": 125e3, "gbit": 125e6,
        ]
        return scale[unit].map { $0 * value }
    }
}
