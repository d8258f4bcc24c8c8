public import ChunkStore
internal import Dispatch

/// Keeps all threads of a lane busy until ``release()``, those for memory and those for disks, as files of hundreds of
/// gigabytes and slow disks do.
public final class BusyThreads: Sendable {
    private let gates = [false: DispatchSemaphore(value: 0), true: DispatchSemaphore(value: 0)]
    private let lane: BlockingWork.Lane

    /// Returns once each thread of `lane` is held.
    public init(_ lane: BlockingWork.Lane) {
        self.lane = lane
        let begun = DispatchSemaphore(value: 0)
        for (isOnDisk, gate) in gates {
            for _ in 0..<lane.threads {
                BlockingWork.shared.submit(lane, for: WorkOwner("busy", isOnDisk: isOnDisk)) {
                    begun.signal()
                    gate.wait()
                }
            }
        }
        for _ in 0..<2 * lane.threads { begun.wait() }
    }

    public func release() { release(lane.threads) }

    /// Lets so many threads of each kind go on.
    public func release(_ count: Int) {
        for gate in gates.values { for _ in 0..<count { gate.signal() } }
    }
}
