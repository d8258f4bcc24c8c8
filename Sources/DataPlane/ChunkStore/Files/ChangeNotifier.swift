internal import Synchronization

/// Tells those who asked that something changed, not what.
final class ChangeNotifier: Sendable {
    private struct State {
        var callback: (@Sendable () -> Void)?
        var streams: [Int: AsyncStream<Void>.Continuation] = [:]
        var next = 0
        var finished = false
    }
    private let state = Mutex(State())

    func set(_ body: (@Sendable () -> Void)?) { state.withLock { $0.callback = body } }

    func notify() {
        let (callback, streams) = state.withLock { ($0.callback, $0.streams.isEmpty ? [] : Array($0.streams.values)) }
        callback?()
        for stream in streams { stream.yield() }
    }

    func stream() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let id: Int? = state.withLock { state in
            if state.finished { return nil }
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
            state.finished = true
            state.callback = nil
            return Array(state.streams.values)
        }
        for stream in streams { stream.finish() }
    }
}
