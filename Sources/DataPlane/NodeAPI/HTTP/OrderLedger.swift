package import AgentAPI
internal import Foundation
internal import Synchronization

/// The last order for each cache, so that a recorded older one cannot undo it within the time that its signature is
/// good for.
///
/// ``OrderNumber`` says which of two orders is the later. Orders of an operator of an earlier release have no number;
/// of these the one with the later time is newer, or that of the same second which was not seen yet, and what was
/// signed before the agent's start is old. The last order again is a retry and passes.
package final class OrderLedger: Sendable {
    private struct Entry {
        /// 0: only orders without a number.
        var number: Int64 = 0
        var time: Int64
        /// Of this number or second; the last one is the order in force.
        var signatures: [[UInt8]]
        /// By this machine's clock.
        var admittedAt: Int64
    }
    private struct State {
        var entries: [String: Entry] = [:]
        var highest: Int64 = 0
        var prunedAt: Int64
    }

    /// More orders in one second than any operator gives.
    private static let mostOrdersASecond = 64
    private let startedAt: Int64
    private let epoch: String
    private let state: Mutex<State>

    /// - Parameters:
    ///   - startedAt: seconds since 1970.
    ///   - epoch: another for each process.
    package init(startedAt: Int64, epoch: String = UUID().uuidString.lowercased()) {
        self.startedAt = startedAt
        self.epoch = epoch
        state = Mutex(State(prunedAt: startedAt))
    }

    /// This agent's epoch and the highest number that it has admitted.
    package var highest: OrderNumber { OrderNumber(epoch: epoch, number: state.withLock { $0.highest }) }

    /// Whether the order, whose signature is right, is to be carried out; from then on it is the last one for its
    /// cache.
    ///
    /// - Parameters:
    ///   - order: nil: from an operator that numbers none.
    ///   - cache: path of the cache.
    ///   - now: this machine's clock, seconds since 1970.
    package func admit(_ stamp: RequestSignature.Stamp, order: OrderNumber? = nil, for cache: String, now: Int64)
        -> Bool
    {
        state.withLock { state in
            prune(&state, now: now)
            guard let order else { return admitByTime(stamp, for: cache, now: now, &state) }
            guard order.epoch == epoch else { return false }
            if let last = state.entries[cache] {
                if order.number == last.number, stamp.signature == last.signatures.last { return true }
                guard order.number > last.number else { return false }
            }
            state.highest = max(state.highest, order.number)
            state.entries[cache] = Entry(
                number: order.number, time: max(stamp.time, state.entries[cache]?.time ?? 0),
                signatures: [stamp.signature],
                admittedAt: now)
            return true
        }
    }

    private func admitByTime(_ stamp: RequestSignature.Stamp, for cache: String, now: Int64, _ state: inout State)
        -> Bool
    {
        guard stamp.time >= startedAt else { return false }
        guard let last = state.entries[cache], last.time >= stamp.time else {
            state.entries[cache] = Entry(
                number: state.entries[cache]?.number ?? 0, time: stamp.time, signatures: [stamp.signature],
                admittedAt: now)
            return true
        }
        if last.time > stamp.time { return false }
        if last.signatures.last == stamp.signature { return true }
        guard !last.signatures.contains(stamp.signature), last.signatures.count < Self.mostOrdersASecond else {
            return false
        }
        state.entries[cache]?.signatures.append(stamp.signature)
        state.entries[cache]?.admittedAt = now
        return true
    }

    /// No signature is good for longer than twice the skew: one from a clock that is ahead was signed before it came.
    /// After that an entry keeps nothing out.
    private func prune(_ state: inout State, now: Int64) {
        let lifetime = 2 * RequestSignature.maximumSkewSeconds
        guard now - state.prunedAt >= lifetime || now < state.prunedAt else { return }
        state.prunedAt = now
        state.entries = state.entries.filter { now - $0.value.admittedAt < lifetime }
    }
}
