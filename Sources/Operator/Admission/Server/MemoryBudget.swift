internal import Synchronization

/// Bytes that requests may occupy at once. The port is open to the whole cluster, so the operator's memory is granted,
/// not taken.
///
/// **Guarantees.** Grants come in the order of asking. At most `mostWaiting` callers wait, each for at most `patience`.
package final class MemoryBudget: Sendable {
    private struct Waiter {
        let continuation: CheckedContinuation<Bool, Never>
        let timer: Task<Void, any Error>
    }
    private struct State {
        var queue: GrantQueue
        var waiters: [GrantQueue.Ticket: Waiter] = [:]
        var lastTicket: GrantQueue.Ticket = 0
    }

    private let state: Mutex<State>
    private let patience: Duration

    package init(bytes: Int, mostWaiting: Int, patience: Duration) {
        state = Mutex(State(queue: GrantQueue(budgetBytes: bytes, mostWaiting: mostWaiting)))
        self.patience = patience
    }

    /// - Returns: false when the bytes are not free in time. True obliges the caller to ``giveBack(_:)`` them.
    package func take(_ bytes: Int) async -> Bool {
        let ticket = state.withLock { state in
            state.lastTicket += 1
            return state.lastTicket
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                ask(for: bytes, ticket, continuation)
                // The cancellation may have come before there was anything to give up.
                if Task.isCancelled { giveUp(ticket) }
            }
        } onCancel: {
            giveUp(ticket)
        }
    }

    package func giveBack(_ bytes: Int) {
        let granted = state.withLock { state in
            state.queue.returned(bytes).compactMap { state.waiters.removeValue(forKey: $0) }
        }
        for waiter in granted { end(waiter, granted: true) }
    }

    private func ask(for bytes: Int, _ ticket: GrantQueue.Ticket, _ continuation: CheckedContinuation<Bool, Never>) {
        let answer = state.withLock { state in
            let answer = state.queue.asked(for: bytes, ticket)
            if answer == .waits {
                let timer = Task { [patience] in
                    try await Task.sleep(for: patience)
                    self.giveUp(ticket)
                }
                state.waiters[ticket] = Waiter(continuation: continuation, timer: timer)
            }
            return answer
        }
        if answer != .waits { continuation.resume(returning: answer == .granted) }
    }

    private func giveUp(_ ticket: GrantQueue.Ticket) {
        let (own, granted) = state.withLock { state -> (Waiter?, [Waiter]) in
            guard let granted = state.queue.gaveUp(ticket) else { return (nil, []) }
            return (
                state.waiters.removeValue(forKey: ticket),
                granted.compactMap { state.waiters.removeValue(forKey: $0) }
            )
        }
        if let own { end(own, granted: false) }
        for waiter in granted { end(waiter, granted: true) }
    }

    private func end(_ waiter: Waiter, granted: Bool) {
        waiter.timer.cancel()
        waiter.continuation.resume(returning: granted)
    }
}
