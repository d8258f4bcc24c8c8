/// Pauses that double up to a limit. Each is shortened at random, so that clients that failed together do not return
/// together.
struct Backoff: Sendable, Hashable {
    var initial: Duration
    var maximum: Duration

    /// - Parameters:
    ///   - failures: failures in a row; the first is 1.
    ///   - random: 0..<1; the pause is between half of its full length and all of it.
    func pause(afterFailures failures: Int, random: Double) -> Duration {
        var full = initial
        for _ in 1..<max(1, min(failures, 32)) where full < maximum { full *= 2 }
        return min(full, maximum) * (0.5 + 0.5 * random)
    }

    /// The pause that the server asked for, and a little more at random.
    static func pause(retryAfter: Duration, random: Double) -> Duration {
        retryAfter * (1 + 0.2 * random)
    }
}

/// `operation` did not end in time.
struct TimeLimitExceeded: Error {}

/// Runs `operation` and cancels it after `limit`.
/// - Throws: ``TimeLimitExceeded``, or the error of `operation`.
func withTimeLimit<Value: Sendable>(
    _ limit: Duration, _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else { throw TimeLimitExceeded() }
        return value
    }
}
