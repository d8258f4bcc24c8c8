internal import Synchronization

/// Values that several users share, made when the first one asks and closed some time after the last one is done.
///
/// Guarantees: users with equal keys share one value; at most `limit` values exist; a value that is leased is never
/// closed.
package final class LeasePool<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// The value stays open as long as this object lives.
    package final class Lease: Sendable {
        package let value: Value
        private let pool: LeasePool
        private let key: Key

        fileprivate init(value: Value, pool: LeasePool, key: Key) {
            self.value = value
            self.pool = pool
            self.key = key
        }

        deinit { pool.returned(key) }
    }

    private struct Entry {
        let value: Value
        var users: Int
        var unusedSince: ContinuousClock.Instant
    }
    private struct State {
        var entries: [Key: Entry] = [:]
        var isClosed = false
    }

    private let limit: Int
    private let unusedLimit: Int
    private let linger: Duration
    private let close: @Sendable (Value) -> Void
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: most values at a time.
    ///   - unusedLimit: most values that wait unused for another user.
    ///   - linger: how long a value waits so.
    ///   - close: called once for each value, never under a lock; must not block.
    package init(limit: Int, unusedLimit: Int, linger: Duration, close: @escaping @Sendable (Value) -> Void) {
        precondition(limit > 0 && unusedLimit >= 0, "a pool of nothing")
        self.limit = limit
        self.unusedLimit = unusedLimit
        self.linger = linger
        self.close = close
    }

    /// The value of `key`, made if there is none. Nil: `limit` others are in use, or the pool is closed.
    package func lease<Failure: Error>(_ key: Key, make: () throws(Failure) -> Value) throws(Failure) -> Lease? {
        var dropped: [Value] = []
        defer { for value in dropped { close(value) } }
        let result: Result<Value, Failure>? = state.withLock { state in
            guard !state.isClosed else { return nil }
            if let entry = state.entries[key] {
                state.entries[key]?.users += 1
                return .success(entry.value)
            }
            if state.entries.count >= limit {
                guard let oldest = Self.oldestUnused(state) else { return nil }
                dropped += state.entries.removeValue(forKey: oldest).map { [$0.value] } ?? []
            }
            do throws(Failure) {
                let value = try make()
                state.entries[key] = Entry(value: value, users: 1, unusedSince: .now)
                return .success(value)
            } catch {
                return .failure(error)
            }
        }
        guard let value = try result?.get() else { return nil }
        return Lease(value: value, pool: self, key: key)
    }

    private func returned(_ key: Key) {
        let dropped: [Value] = state.withLock { state in
            guard let entry = state.entries[key] else { return [] }
            precondition(entry.users > 0, "returned more often than leased")
            state.entries[key]?.users -= 1
            if entry.users == 1 { state.entries[key]?.unusedSince = .now }
            var dropped: [Value] = []
            while state.entries.values.count(where: { $0.users == 0 }) > unusedLimit,
                let oldest = Self.oldestUnused(state)
            {
                dropped += state.entries.removeValue(forKey: oldest).map { [$0.value] } ?? []
            }
            return dropped
        }
        for value in dropped { close(value) }
    }

    private static func oldestUnused(_ state: State) -> Key? {
        state.entries.filter { $0.value.users == 0 }.min { $0.value.unusedSince < $1.value.unusedSince }?.key
    }

    /// Closes values that were unused for long enough. To be called once a second.
    package func sweep(now: ContinuousClock.Instant = .now) {
        let dropped = state.withLock { state in
            let old = state.entries.filter { $0.value.users == 0 && $0.value.unusedSince.duration(to: now) >= linger }
            for key in old.keys { state.entries[key] = nil }
            return old.values.map(\.value)
        }
        for value in dropped { close(value) }
    }

    /// Forgets all values, leased ones too, and hands them to the caller to close. Nothing is leased from then on.
    package func takeAll() -> [Value] {
        state.withLock { state in
            state.isClosed = true
            defer { state.entries = [:] }
            return state.entries.values.map(\.value)
        }
    }

    package var count: Int { state.withLock { $0.entries.count } }
}
