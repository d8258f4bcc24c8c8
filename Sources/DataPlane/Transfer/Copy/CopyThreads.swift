package import ChunkStore
internal import Synchronization

/// The copies of all fills that have a thread: says when the threads hang, so that nobody waits for one of them.
///
/// The fills share a few threads. One that waits for a disk that hangs may never come back, also when its copy was
/// given up. Any thread may call anything.
package final class CopyThreads: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// Threads that do the same.
    package struct Kind: Sendable, Hashable {
        let lane: BlockingWork.Lane
        let isOnDisk: Bool

        package init(_ lane: BlockingWork.Lane, isOnDisk: Bool) {
            self.lane = lane
            self.isOnDisk = isOnDisk
        }
    }

    private struct Copy {
        let turn: CopyTurn
        let kind: Kind
        var steps = 0
        /// Of the first look that found this number of steps.
        var since: Instant?
    }

    /// Of the process, as the threads are.
    package static let shared = CopyThreads()

    private let copies = Mutex<[ObjectIdentifier: Copy]>([:])

    package init() {}

    /// The turn has a thread, until ``ended(_:)``.
    package func began(_ turn: CopyTurn, _ kind: Kind) {
        copies.withLock { copies in
            precondition(copies[ObjectIdentifier(turn)] == nil, "a turn has one thread")
            copies[ObjectIdentifier(turn)] = Copy(turn: turn, kind: kind)
        }
    }

    /// The thread has come back.
    package func ended(_ turn: CopyTurn) { copies.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(turn)) } }

    /// Whether no thread of the kind has gone on for ``CopySilence/longest``. To be called several times a second.
    package func standStill(_ kind: Kind, now: Instant) -> Bool {
        copies.withLock { copies in
            var count = 0
            for (id, copy) in copies where copy.kind == kind {
                let steps = copy.turn.steps
                if copy.steps == steps, let since = copy.since {
                    if since.duration(to: now) >= CopySilence.longest { count += 1 }
                } else {
                    copies[id]?.steps = steps
                    copies[id]?.since = now
                }
            }
            return count >= kind.lane.threads
        }
    }
}
