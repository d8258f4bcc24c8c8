/// When to try again, as a pure value: exponential back-off with full jitter, bounded by attempts and time.
///
/// Full jitter (a uniform draw between zero and the exponential bound) spreads clients that failed together; see
/// "Exponential Backoff And Jitter", AWS Architecture Blog.
public struct RetryPolicy: Sendable, Hashable {
    /// How often the request is sent at most, the first time included.
    public var maximumAttempts: Int
    /// The bound of the first wait; it doubles each time.
    public var baseDelay: Duration
    /// The bound of any wait. A longer delay that the store asks for is honoured all the same.
    public var maximumDelay: Duration
    /// Since the first attempt; nothing is started that would wait past it. Nil: no limit but the attempts.
    public var deadline: Duration?

    public init(
        maximumAttempts: Int = 8, baseDelay: Duration = .milliseconds(100), maximumDelay: Duration = .seconds(10),
        deadline: Duration? = .seconds(120)
    ) {
        self.maximumAttempts = maximumAttempts
        self.baseDelay = baseDelay
        self.maximumDelay = maximumDelay
        self.deadline = deadline
    }

    /// How long to wait before the next attempt, or nil to give up.
    ///
    /// - Parameters:
    ///   - failedAttempts: attempts made so far, at least 1.
    ///   - elapsed: since the first attempt began.
    ///   - isRetryable, retryAfter: of the last error (`StoreError`). `retryAfter` is a lower bound on the wait.
    ///   - draw: a uniform number in 0..<1, so that a test decides it.
    public func delay(
        afterFailedAttempts failedAttempts: Int, elapsed: Duration, isRetryable: Bool, retryAfter: Duration?,
        draw: Double
    ) -> Duration? {
        guard isRetryable, failedAttempts < maximumAttempts else { return nil }
        // 2^30 times any base exceeds every sensible maximum, and does not overflow.
        let factor = 1 << min(max(failedAttempts - 1, 0), 30)
        let bound = min(baseDelay * factor, maximumDelay)
        var wait = bound * draw
        if let asked = retryAfter {
            // The jitter goes on top of what the store asks for, so that its clients do not return together.
            wait = asked + min(wait, asked)
        }
        if let deadline, elapsed + wait >= deadline { return nil }
        return wait
    }

    /// The same with a draw from the system's generator.
    public func delay(afterFailedAttempts failedAttempts: Int, elapsed: Duration, error: StoreError) -> Duration? {
        delay(
            afterFailedAttempts: failedAttempts, elapsed: elapsed, isRetryable: error.isRetryable,
            retryAfter: error.retryAfter, draw: Double.random(in: 0..<1))
    }
}
