internal import Synchronization

/// A request to end work on a thread early, made once and for good.
///
/// Work that runs looks at ``isStopped`` after every few MiB; work that waits for a thread is given up at once
/// (``BlockingWork/submit(_:until:_:stopped:)``). Any thread may call anything.
public final class WorkStop: Sendable {
    private struct State {
        var isStopped = false
        var listeners: [Int: @Sendable () -> Void] = [:]
        var last = 0
    }
    private let state = Mutex(State())
    private let looked: @Sendable () -> Void

    public init() { looked = {} }

    /// `looked` is for tests: called at each look, on the thread of the work.
    package init(looked: @escaping @Sendable () -> Void) { self.looked = looked }

    public var isStopped: Bool {
        looked()
        return state.withLock { $0.isStopped }
    }

    /// Never blocks. Idempotent.
    public func stop() {
        let listeners = state.withLock { state in
            state.isStopped = true
            defer { state.listeners = [:] }
            return Array(state.listeners.values)
        }
        for listener in listeners { listener() }
    }

    /// Calls `body` once, by the caller of ``stop()``; now where that was before.
    ///
    /// - Returns: for ``forget(_:)``.
    func onStop(_ body: @escaping @Sendable () -> Void) -> Int {
        let number: Int? = state.withLock { state in
            if state.isStopped { return nil }
            state.last += 1
            state.listeners[state.last] = body
            return state.last
        }
        guard let number else {
            body()
            return 0
        }
        return number
    }

    func forget(_ listener: Int) { state.withLock { _ = $0.listeners.removeValue(forKey: listener) } }
}
