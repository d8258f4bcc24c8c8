/// A token bucket over bytes: lets starts of transfers through so that the long-run rate stays at the limit.
///
/// A transfer is let through while the balance is not negative, and its whole size is taken at once: the balance may
/// fall below zero by one transfer, and the next waits until that is paid. So a chunk larger than the burst passes too.
public struct RateBucket: Sendable {
    /// The bytes that may be let through at once after a pause, as time at the limit.
    static let burst: Duration = .milliseconds(500)

    /// Nil: everything passes.
    public private(set) var bytesPerSecond: Int64?
    private var balance = 0.0
    private var last: ContinuousClock.Instant

    public init(bytesPerSecond: Int64?, now: ContinuousClock.Instant) {
        self.bytesPerSecond = bytesPerSecond.map { max(1, $0) }
        last = now
    }

    /// Debts are forgotten where the limit changes.
    public mutating func set(bytesPerSecond: Int64?, now: ContinuousClock.Instant) {
        let limit = bytesPerSecond.map { max(1, $0) }
        guard limit != self.bytesPerSecond else { return }
        self = RateBucket(bytesPerSecond: limit, now: now)
    }

    /// Whether a transfer may start now.
    public mutating func isOpen(now: ContinuousClock.Instant) -> Bool {
        guard let bytesPerSecond else { return true }
        let rate = Double(bytesPerSecond)
        balance = min(rate * (Self.burst / .seconds(1)), balance + rate * max(0, last.duration(to: now) / .seconds(1)))
        last = now
        return balance >= 0
    }

    /// A transfer of so many bytes starts.
    public mutating func take(_ bytes: UInt64) {
        if bytesPerSecond != nil { balance -= Double(bytes) }
    }
}
