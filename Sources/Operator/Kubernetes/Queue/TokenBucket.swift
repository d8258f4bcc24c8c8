/// Allows `perSecond` events a second, and up to `burst` at once: the limiter of Go's `golang.org/x/time/rate`, which
/// client-go uses.
///
/// Holds no clock: the caller passes the time. It starts full.
public struct TokenBucket: Sendable {
    public let perSecond: Double
    public let burst: Double
    private var tokens: Double
    private var last: ContinuousClock.Instant?

    /// - Precondition: both are positive.
    public init(perSecond: Double, burst: Int) {
        precondition(perSecond > 0 && burst > 0, "a bucket that lets nothing through")
        self.perSecond = perSecond
        self.burst = Double(burst)
        tokens = Double(burst)
    }

    /// Takes a token if there is one.
    public mutating func take(now: ContinuousClock.Instant) -> Bool {
        refill(now)
        // A refill of exactly one token may sum to slightly less.
        guard tokens >= 1 - 1e-9 else { return false }
        tokens -= 1
        return true
    }

    /// Takes a token, a future one when there is none now, and returns the wait for it.
    public mutating func reserve(now: ContinuousClock.Instant) -> Duration {
        refill(now)
        tokens -= 1
        return tokens >= 0 ? .zero : .seconds(-tokens / perSecond)
    }

    private mutating func refill(_ now: ContinuousClock.Instant) {
        defer { last = max(last ?? now, now) }
        guard let last, now > last else { return }
        tokens = min(burst, tokens + last.duration(to: now).inSeconds * perSecond)
    }
}
