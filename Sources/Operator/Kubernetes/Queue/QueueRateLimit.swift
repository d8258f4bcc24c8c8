/// How quickly a failing key is retried, and how quickly all of them together. The defaults are controller-runtime's
/// (`workqueue.DefaultTypedControllerRateLimiter`); the longer of both delays counts.
public struct QueueRateLimit: Sendable, Equatable {
    /// Delay after a key's first failure; each further one doubles it.
    public var base: Duration
    /// The longest delay of one key.
    public var most: Duration
    /// Retries of all keys together, a second, after the first `burst`; nil: no limit.
    public var perSecond: Double?
    public var burst: Int

    public init(
        base: Duration = .milliseconds(5), most: Duration = .seconds(1000), perSecond: Double? = 10, burst: Int = 100
    ) {
        self.base = base
        self.most = most
        self.perSecond = perSecond
        self.burst = burst
    }
}

/// The state behind ``QueueRateLimit``: failures by key, and the shared bucket. Holds no clock.
public struct QueueRateLimiter<Key: Hashable & Sendable>: Sendable {
    private let limit: QueueRateLimit
    private var failures: [Key: Int] = [:]
    private var bucket: TokenBucket?

    public init(_ limit: QueueRateLimit) {
        self.limit = limit
        bucket = limit.perSecond.map { TokenBucket(perSecond: $0, burst: limit.burst) }
    }

    /// Counts a failure of `key` and returns the delay before its retry.
    public mutating func delay(for key: Key, now: ContinuousClock.Instant) -> Duration {
        let before = failures[key, default: 0]
        failures[key] = before + 1
        // 2^40 times any base exceeds every sensible limit; further doubling would overflow.
        let own = min(limit.most, limit.base * Int(1 << min(before, 40)))
        return max(own, bucket?.reserve(now: now) ?? .zero)
    }

    /// `key` succeeded, so its next failure counts as the first.
    public mutating func forget(_ key: Key) { failures[key] = nil }

    /// Failures of `key` since ``forget(_:)``.
    public func requeues(of key: Key) -> Int { failures[key, default: 0] }
}
