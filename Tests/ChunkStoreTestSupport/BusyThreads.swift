public import ChunkStore
internal import Dispatch
internal import Foundation
internal import Synchronization

/// Keeps all threads of a lane busy until ``release()``, those for memory and those for disks, as files of hundreds of
/// gigabytes and slow disks do.
public final class BusyThreads: Sendable {
    /// One at a time for each lane: two would have a part of its threads each, and wait for the rest for ever.
    private static let turns = Dictionary(
        uniqueKeysWithValues: BlockingWork.Lane.allCases.map { ($0, DispatchSemaphore(value: 1)) })

    private let gates = [false: DispatchSemaphore(value: 0), true: DispatchSemaphore(value: 0)]
    private let lane: BlockingWork.Lane
    /// Threads of each kind.
    private let held: Mutex<Int>

    /// Returns once each thread of `lane` is held. The test's own thread does not wait: tests that run side by side have
    /// few, and the one that holds the lane needs one to let it go.
    public init(_ lane: BlockingWork.Lane) async {
        self.lane = lane
        held = Mutex(lane.threads)
        let gates = gates
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                Self.turns[lane]?.wait()
                Self.hold(lane, gates)
                continuation.resume()
            }
        }
    }

    private static func hold(_ lane: BlockingWork.Lane, _ gates: [Bool: DispatchSemaphore]) {
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

    /// A test that failed in the middle holds up no other.
    deinit { release(held.withLock { $0 }) }

    public func release() { release(lane.threads) }

    /// Lets so many threads of each kind go on.
    public func release(_ count: Int) {
        guard count > 0 else { return }
        let left = held.withLock { held in
            held -= count
            return held
        }
        precondition(left >= 0, "more threads are let go than are held")
        for gate in gates.values { for _ in 0..<count { gate.signal() } }
        if left == 0 { Self.turns[lane]?.signal() }
    }
}
