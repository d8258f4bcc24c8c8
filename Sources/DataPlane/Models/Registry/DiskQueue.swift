internal import Dispatch

/// Runs calls that block on a file system, on threads that nothing else waits for.
///
/// One slow call does not hold the others up. The registry starts at most one call for each model, so their number is
/// bounded.
package struct DiskQueue: Sendable {
    private let queue = DispatchQueue(label: "modelcache.disk", attributes: .concurrent)

    package init() {}

    package func run<Value: Sendable, Failure: Error>(_ body: @escaping @Sendable () throws(Failure) -> Value)
        async throws(Failure) -> Value
    {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            queue.async {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
