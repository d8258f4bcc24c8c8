public import ChunkStore
internal import Dispatch

/// Keeps all threads of a lane busy until ``release()``, as files of hundreds of gigabytes and slow disks do.
public final class BusyThreads: Sendable {
    private let gate = DispatchSemaphore(value: 0)
    private let lane: BlockingWork.Lane

    /// Returns once each thread of `lane` is held.
    public init(_ lane: BlockingWork.Lane) {
        self.lane = lane
        let begun = DispatchSemaphore(value: 0)
        for _ in 0..<lane.threads {
            BlockingWork.shared.submit(lane) { [gate] in
                begun.signal()
                gate.wait()
            }
        }
        for _ in 0..<lane.threads { begun.wait() }
    }

    public func release() { for _ in 0..<lane.threads { gate.signal() } }
}
