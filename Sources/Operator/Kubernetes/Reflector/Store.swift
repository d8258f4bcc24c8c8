import Synchronization

/// A ``Reflector``'s objects by namespace and name, with indices. Safe from any thread.
///
/// **Guarantees.** A reader sees the state between two events, and never half of a list: a new list replaces everything
/// at once. Readers hold no lock while they use a result.
///
/// **Caveats.** The server is always a little ahead. Before ``hasSynced``, absence here proves nothing.
public final class Store<Stored: Sendable>: Sendable {
    /// The values under which an object is found in an index.
    public typealias IndexFunction = @Sendable (ObjectKey, Stored) -> [String]

    struct Entry: Sendable {
        var version: String
        var stored: Stored
    }

    private struct State: Sendable {
        var entries: [ObjectKey: Entry] = [:]
        var indices: [String: [String: Set<ObjectKey>]] = [:]
        var synced = false
        var waiters: [Int: CheckedContinuation<Void, any Error>] = [:]
        var nextWaiter = 0
    }

    private let indexFunctions: [String: IndexFunction]
    private let state: Mutex<State>

    public init(indices: [String: IndexFunction] = [:]) {
        indexFunctions = indices
        state = Mutex(State())
    }

    // MARK: Reading

    /// One object; nil when there is none.
    public func get(_ key: ObjectKey) -> Stored? {
        state.withLock { $0.entries[key]?.stored }
    }

    /// All objects at one moment, unordered.
    public func all() -> [(key: ObjectKey, value: Stored)] {
        // The dictionary is shared, not copied, and the work is done without the lock.
        let entries = state.withLock { $0.entries }
        return entries.map { ($0.key, $0.value.stored) }
    }

    public func values() -> [Stored] {
        let entries = state.withLock { $0.entries }
        return entries.values.map(\.stored)
    }

    public func keys() -> [ObjectKey] {
        let entries = state.withLock { $0.entries }
        return Array(entries.keys)
    }

    public var count: Int { state.withLock { $0.entries.count } }

    /// The objects for which the index function `index` returned `value`, at one moment, unordered.
    public func values(index: String, _ value: String) -> [Stored] {
        state.withLock { state in
            (state.indices[index]?[value] ?? []).compactMap { state.entries[$0]?.stored }
        }
    }

    public func keys(index: String, _ value: String) -> [ObjectKey] {
        state.withLock { Array($0.indices[index]?[value] ?? []) }
    }

    /// The number of objects in the index under `value`.
    public func count(index: String, _ value: String) -> Int {
        state.withLock { $0.indices[index]?[value]?.count ?? 0 }
    }

    /// Whether the first list is complete.
    public var hasSynced: Bool { state.withLock { $0.synced } }

    /// Returns once the first list is complete.
    /// - Throws: `CancellationError`.
    public func waitUntilSynced() async throws {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now: Result<Void, any Error>? = state.withLock { state in
                    if state.synced { return .success(()) }
                    // The handler below may have run before there was a task to cancel.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(throwing: CancellationError())
        }
    }

    // MARK: Writing, for the reflector

    /// Sets one object, or removes it (nil). Returns nil when nothing changed.
    func apply(_ key: ObjectKey, version: String, _ stored: Stored?) -> ReflectorEvent<Stored>? {
        // Without the lock: index functions are other modules' code and may read this store. No one else writes
        // meanwhile.
        let old = get(key)
        let before = old.map { indexValues(key, $0) } ?? []
        let after = stored.map { indexValues(key, $0) } ?? []
        state.withLock { state in
            for (name, value) in before {
                state.indices[name]?[value]?.remove(key)
                if state.indices[name]?[value]?.isEmpty ?? false { state.indices[name]?[value] = nil }
            }
            for (name, value) in after { state.indices[name, default: [:]][value, default: []].insert(key) }
            state.entries[key] = stored.map { Entry(version: version, stored: $0) }
        }
        guard let stored else { return old.map { .deleted(key, $0) } }
        return old.map { .modified(key, old: $0, new: stored) } ?? .added(key, stored)
    }

    /// Replaces all objects at once.
    /// - Returns: the changes; an object of the same version is no change.
    func replace(_ entries: [ObjectKey: Entry]) -> [ReflectorEvent<Stored>] {
        var indices: [String: [String: Set<ObjectKey>]] = [:]
        for (name, function) in indexFunctions {
            var index: [String: Set<ObjectKey>] = [:]
            for (key, entry) in entries {
                for value in function(key, entry.stored) { index[value, default: []].insert(key) }
            }
            indices[name] = index
        }
        let (old, waiters) = state.withLock { state in
            let before = (state.entries, state.waiters)
            state.entries = entries
            state.indices = indices
            state.synced = true
            state.waiters = [:]
            return before
        }
        for waiter in waiters.values { waiter.resume() }

        var events: [ReflectorEvent<Stored>] = []
        for (key, entry) in old where entries[key] == nil { events.append(.deleted(key, entry.stored)) }
        for (key, entry) in entries {
            guard let before = old[key] else {
                events.append(.added(key, entry.stored))
                continue
            }
            if before.version != entry.version || entry.version.isEmpty {
                events.append(.modified(key, old: before.stored, new: entry.stored))
            }
        }
        return events
    }

    private func indexValues(_ key: ObjectKey, _ stored: Stored) -> [(name: String, value: String)] {
        indexFunctions.flatMap { name, function in function(key, stored).map { (name, $0) } }
    }
}
