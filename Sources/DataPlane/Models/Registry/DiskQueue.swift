internal import DequeModule
internal import Foundation
internal import Synchronization

/// Runs calls that block on a file system, on threads that nothing else waits for.
///
/// One slow call does not hold the others up: each has a thread, up to ``most``; further ones wait in order. The
/// registry starts at most one call for each model. Not libdispatch's threads: its pool has as many as processors and
/// adds one a second when all of them hang.
package final class DiskQueue: Sendable {
    /// Calls at a time. A disk that hangs holds those of its own models.
    package static let most = 64

    private typealias Job = @Sendable () -> Void
    private struct State {
        var threads = 0
        var waiting = Deque<Job>()
    }
    private let state = Mutex(State())

    package init() {}

    package func run<Value: Sendable, Failure: Error>(_ body: @escaping @Sendable () throws(Failure) -> Value)
        async throws(Failure) -> Value
    {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            start {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func start(_ job: @escaping Job) {
        let hasThread = state.withLock { state in
            guard state.threads < Self.most else {
                state.waiting.append(job)
                return false
            }
            state.threads += 1
            return true
        }
        guard hasThread else { return }
        Thread.detachNewThread {
            var next: Job? = job
            while let job = next {
                job()
                next = self.next()
            }
        }
    }

    /// Nil: the thread that asks is no longer needed.
    private func next() -> Job? {
        state.withLock { state in
            if let job = state.waiting.popFirst() { return job }
            precondition(state.threads > 0, "a thread that ends was counted")
            state.threads -= 1
            return nil
        }
    }
}
