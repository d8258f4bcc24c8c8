internal import Synchronization

/// Messages in the order of their arrival, from any thread to one task.
///
/// Engine threads, the staging queue and the clock put; the one loop of a fill takes. A closed mailbox drops what
/// comes.
final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var reader: CheckedContinuation<[Message], Never>?
        var isClosed = false
    }
    private let state = Mutex(State())

    func put(_ message: Message) {
        let reader = state.withLock { state -> CheckedContinuation<[Message], Never>? in
            guard !state.isClosed else { return nil }
            guard let reader = state.reader else {
                state.messages.append(message)
                return nil
            }
            state.reader = nil
            return reader
        }
        reader?.resume(returning: [message])
    }

    /// All that came since the last call, at least one. To be called by one task at a time.
    func take() async -> [Message] {
        await withCheckedContinuation { continuation in
            let messages = state.withLock { state -> [Message] in
                precondition(state.reader == nil && !state.isClosed, "a mailbox has one reader")
                defer { state.messages = [] }
                if state.messages.isEmpty { state.reader = continuation }
                return state.messages
            }
            if !messages.isEmpty { continuation.resume(returning: messages) }
        }
    }

    /// Nothing is taken any more.
    func close() {
        // The messages go outside of the lock: a grant among them returns its memory, which may put another message.
        let dropped = state.withLock { state -> [Message] in
            precondition(state.reader == nil, "a mailbox is closed by its reader")
            state.isClosed = true
            defer { state.messages = [] }
            return state.messages
        }
        withExtendedLifetime(dropped) {}
    }
}
