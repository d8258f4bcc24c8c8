internal import Synchronization

/// One element to every stream that was asked for, until it is finished.
final class Broadcast<Element: Sendable>: Sendable {
    private struct State {
        var streams: [Int: AsyncStream<Element>.Continuation] = [:]
        var next = 0
        var isFinished = false
    }
    private let state = Mutex(State())
    private let policy: AsyncStream<Element>.Continuation.BufferingPolicy

    init(buffering policy: AsyncStream<Element>.Continuation.BufferingPolicy) { self.policy = policy }

    func send(_ element: Element) {
        for stream in state.withLock({ $0.streams.isEmpty ? [] : Array($0.streams.values) }) { stream.yield(element) }
    }

    /// A stream of what is sent from now on; at its end at once after ``finish()``.
    func stream() -> AsyncStream<Element> {
        let (stream, continuation) = AsyncStream.makeStream(of: Element.self, bufferingPolicy: policy)
        let id: Int? = state.withLock { state in
            if state.isFinished { return nil }
            state.next += 1
            state.streams[state.next] = continuation
            return state.next
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in self?.remove(id) }
        return stream
    }

    private func remove(_ id: Int) { state.withLock { _ = $0.streams.removeValue(forKey: id) } }

    func finish() {
        let streams = state.withLock { state in
            state.isFinished = true
            return Array(state.streams.values)
        }
        for stream in streams { stream.finish() }
    }
}
