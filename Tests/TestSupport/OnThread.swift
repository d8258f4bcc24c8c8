import Foundation

/// Runs what blocks on a thread of its own: tests that run side by side share few, and what `body` waits for may need
/// one of them.
public func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}
