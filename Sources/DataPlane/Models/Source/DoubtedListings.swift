internal import Synchronization

/// Of which objects a listing was found wrong, so that later listings ask HEAD for them too, and which warnings were
/// given.
///
/// Of the agent: a store shows an object in one way to every caller. Bounded; what is forgotten is found again.
final class DoubtedListings: Sendable {
    private struct State {
        var keys: [String: Set<String>] = [:]
        var warnings: [String: String] = [:]
    }
    private static let mostSources = 256
    private static let mostKeys = 512
    private let state = Mutex(State())

    func keys(of source: String) -> Set<String> { state.withLock { $0.keys[source] ?? [] } }

    func note(_ key: String, of source: String) {
        state.withLock { state in
            if state.keys.count >= Self.mostSources, state.keys[source] == nil { state.keys = [:] }
            if state.keys[source]?.count ?? 0 < Self.mostKeys { state.keys[source, default: []].insert(key) }
        }
    }

    /// Calls `body` unless the same warning was the source's last.
    func once(_ warning: String, _ source: String, _ body: () -> Void) {
        let isNew = state.withLock { state in
            if state.warnings.count >= Self.mostSources { state.warnings = [:] }
            return state.warnings.updateValue(source, forKey: warning + source) == nil
        }
        if isNew { body() }
    }
}
