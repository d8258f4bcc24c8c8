internal import Synchronization

/// Callers turned away since the agent started, by the check that they failed.
package final class CallerRefusals: Sendable {
    private let counts = Mutex<[TokenProblem: Int64]>([:])

    package init() {}

    package func count(_ problem: TokenProblem) { counts.withLock { $0[problem, default: 0] += 1 } }

    /// Every check is there, with 0 too: a counter that appears with its first event hides that event from a rate.
    package var byProblem: [String: Int64] {
        counts.withLock { counts in
            Dictionary(uniqueKeysWithValues: TokenProblem.allCases.map { ($0.rawValue, counts[$0] ?? 0) })
        }
    }
}
