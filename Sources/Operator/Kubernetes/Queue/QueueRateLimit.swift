/// How quickly a failing key comes back, and how quickly all of them together. The defaults are controller-runtime's
/// (`workqueue.DefaultTypedControllerRateLimiter`): the longer of both delays counts.
public struct QueueRateLimit: Sendable, Equatable {
    /// Delay after a key's first failure; each further one doubles it.
    public var base: Duration
    /// The longest delay of one key.
    public var most: Duration
    /// Retries of all keys together, a second, once `burst` is used up; nil: as many as come.
    public var perSecond: Double?
    public var burst: Int

    public init(base: Duration = .milliseconds(5), most: Duration = .seconds(1000), perSecond: Double? = 10, burst: Int = 100) {
        self.base = base
        self.most = most
        self.perSecond = perSecond
        self.burst = burst
    }
}

/// The state behind ``QueueRateLimit``: failures by key, and the bucket that all share. Holds no clock.
public struct QueueRateLimiter<Key: Hashable & Sendable>: Sendable {
    private let limit: QueueRateLimit
    private var failures: [Key: Int] = [:]
    private var bucket: TokenBucket?

    public init(_ limit: QueueRateLimit) {
        self.limit = limit
        bucket = limit.perSecond.map { TokenBucket(perSecond: $0, burst: limit.burst) }
    }

    /// Counts a failure of `key` and says how long to wait before it is tried again.
    public mutating func delay(for key: Key, now: ContinuousClock.Instant) -> Duration {
        let before = failures[key, default: 0]
        failures[key] = before + 1
        // 2^40 times any base is past every sensible limit; further doubling would overflow.
        let own = min(limit.most, limit.base * Int(1 << min(before, 40)))
        return max(own, bucket?.reserve(now: now) ?? .zero)
    }

    /// `key` succeeded: its next failure counts as the first.
    public mutating func forget(_ key: Key) { failures[key] = nil }

    /// Failures of `key` since it was last forgotten.
    public func requeues(of key: Key) -> Int { failures[key, default: 0] }
}
