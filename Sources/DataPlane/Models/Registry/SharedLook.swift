internal import Synchronization

/// A question to a file system that many may ask. One look is under way at a time, and one more waits for it, whose
/// result all get who asked meanwhile: nobody hears of a time before the question, and a disk that hangs holds one
/// thread up, however often it is asked.
package final class SharedLook<Value: Sendable>: Sendable {
    private struct State {
        var current: Task<Value, Never>?
        var next: Task<Value, Never>?
    }
    private let state = Mutex(State())

    package init() {}

    /// - Parameter look: blocks on the file system.
    package func value(_ disk: DiskQueue, _ look: @escaping @Sendable () -> Value) async -> Value {
        let task = state.withLock { state in
            if let next = state.next { return next }
            guard let current = state.current else {
                let task = Task { await self.run(disk, look) }
                state.current = task
                return task
            }
            let task = Task {
                _ = await current.value
                return await self.run(disk, look)
            }
            state.next = task
            return task
        }
        return await task.value
    }

    private func run(_ disk: DiskQueue, _ look: @escaping @Sendable () -> Value) async -> Value {
        let value = await disk.run(look)
        state.withLock { state in
            precondition(state.current != nil, "one look is under way at a time")
            state.current = state.next
            state.next = nil
        }
        return value
    }
}
