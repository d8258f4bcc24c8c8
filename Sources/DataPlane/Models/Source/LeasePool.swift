internal import Dispatch
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
        /// Keys whose values are being made, each with a place; equal ones wait for it.
        var making: [Key: DispatchGroup] = [:]
        var isClosed = false
    }
    private enum Place {
        case held(Value)
        /// To be made by the caller.
        case empty(DispatchGroup)
        /// Somebody makes it.
        case awaited(DispatchGroup)
        case none
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
    ///
    /// Blocking: waits where another caller makes the value of an equal key.
    ///
    /// - Parameter make: called under no lock, for it may block. It must not ask this pool for an equal key.
    package func lease<Failure: Error>(_ key: Key, make: () throws(Failure) -> Value) throws(Failure) -> Lease? {
        while true {
            let (place, dropped) = take(key)
            for value in dropped { close(value) }
            switch place {
            case .held(let value): return Lease(value: value, pool: self, key: key)
            case .none: return nil
            case .awaited(let others): others.wait()
            case .empty(let own):
                defer { own.leave() }
                let made: Value
                do throws(Failure) {
                    made = try make()
                } catch {
                    state.withLock { $0.making[key] = nil }
                    throw error
                }
                guard keep(made, key) else {
                    close(made)
                    return nil
                }
                return Lease(value: made, pool: self, key: key)
            }
        }
    }

    /// The value with one more user, or a place for a new one.
    private func take(_ key: Key) -> (Place, dropped: [Value]) {
        state.withLock { state in
            guard !state.isClosed else { return (.none, []) }
            if let entry = state.entries[key] {
                state.entries[key]?.users += 1
                return (.held(entry.value), [])
            }
            if let others = state.making[key] { return (.awaited(others), []) }
            var dropped: [Value] = []
            if state.entries.count + state.making.count >= limit {
                guard let oldest = Self.oldestUnused(state) else { return (.none, []) }
                dropped += state.entries.removeValue(forKey: oldest).map { [$0.value] } ?? []
            }
            let own = DispatchGroup()
            own.enter()
            state.making[key] = own
            return (.empty(own), dropped)
        }
    }

    /// Returns false: the pool was closed meanwhile.
    private func keep(_ made: Value, _ key: Key) -> Bool {
        state.withLock { state in
            state.making[key] = nil
            guard !state.isClosed else { return false }
            precondition(state.entries[key] == nil, "users with equal keys share one value")
            state.entries[key] = Entry(value: made, users: 1, unusedSince: .now)
            return true
        }
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
