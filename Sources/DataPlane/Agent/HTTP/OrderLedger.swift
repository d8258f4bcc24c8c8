package import AgentAPI
internal import Synchronization

/// The last order for each cache, so that a recorded older one cannot undo it within the time that its signature is good for.
///
/// An order is newer when its time is later, or the same second and not seen yet: two orders of one second come in the order in
/// which they arrive. The last order again is a retry and passes. An agent that starts knows nothing of what it was told before, so
/// what was signed before its start is old.
package final class OrderLedger: Sendable {
    private struct Entry {
        var time: Int64
        /// Of this second; the last one is the order in force.
        var signatures: [[UInt8]]
    }
    private struct State {
        var entries: [String: Entry] = [:]
        var prunedAt: Int64
    }

    /// Many orders in one second are nobody's that has anything to order.
    private static let mostOrdersASecond = 64
    private let startedAt: Int64
    private let state: Mutex<State>

    /// - Parameter startedAt: seconds since 1970.
    package init(startedAt: Int64) {
        self.startedAt = startedAt
        state = Mutex(State(prunedAt: startedAt))
    }

    /// Whether the order, whose signature is right, is to be carried out; from then on it is the last one for its cache.
    ///
    /// - Parameters:
    ///   - cache: path of the cache.
    ///   - now: this machine's clock, seconds since 1970.
    package func admit(_ stamp: RequestSignature.Stamp, for cache: String, now: Int64) -> Bool {
        guard stamp.time >= startedAt else { return false }
        return state.withLock { state in
            prune(&state, now: now)
            guard let last = state.entries[cache], last.time >= stamp.time else {
                state.entries[cache] = Entry(time: stamp.time, signatures: [stamp.signature])
                return true
            }
            if last.time > stamp.time { return false }
            if last.signatures.last == stamp.signature { return true }
            guard !last.signatures.contains(stamp.signature), last.signatures.count < Self.mostOrdersASecond else { return false }
            state.entries[cache]?.signatures.append(stamp.signature)
            return true
        }
    }

    /// A time that is no longer accepted needs no remembering.
    private func prune(_ state: inout State, now: Int64) {
        guard now - state.prunedAt >= RequestSignature.maximumSkewSeconds || now < state.prunedAt else { return }
        state.prunedAt = now
        state.entries = state.entries.filter { $0.value.time >= now - RequestSignature.maximumSkewSeconds }
    }
}
