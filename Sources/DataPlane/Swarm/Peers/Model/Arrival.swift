internal import Synchronization

/// A block that is arriving: how far its bytes are in the file, so that they can be relayed.
///
/// Any thread may call anything.
public final class Arrival: Sendable {
    private let arrived = Atomic<UInt64>(0)
    private let failed = Atomic<Bool>(false)
    private let watches = Mutex<[Watch]>([])
    /// The least that any watch waits for. Read after every write of `arrived`, written before its last look at it:
    /// both in one order for all threads, so that either side sees the other.
    private let awaited = Atomic<UInt64>(.max)

    private struct Watch {
        let bytes: UInt64
        let wake: @Sendable () -> Void
    }

    public init() {}

    /// Bytes of the block that are in the file.
    public var bytes: UInt64 { arrived.load(ordering: .acquiring) }
    /// The transfer ended without its block: what was relayed of it is void.
    public var hasFailed: Bool { failed.load(ordering: .acquiring) }

    public func advance(by count: Int) {
        let now = arrived.wrappingAdd(UInt64(max(0, count)), ordering: .sequentiallyConsistent).newValue
        if now >= awaited.load(ordering: .sequentiallyConsistent) { wake() }
    }

    public func fail() {
        failed.store(true, ordering: .sequentiallyConsistent)
        if awaited.load(ordering: .sequentiallyConsistent) != .max { wake() }
    }

    /// Calls `wake` once, on any thread, when so many bytes have arrived or the transfer failed; at once if that is so
    /// already.
    func whenArrived(_ bytes: UInt64, _ wake: @escaping @Sendable () -> Void) {
        watches.withLock { watches in
            watches.append(Watch(bytes: bytes, wake: wake))
            awaited.store(min(bytes, awaited.load(ordering: .relaxed)), ordering: .sequentiallyConsistent)
        }
        if failed.load(ordering: .sequentiallyConsistent) || arrived.load(ordering: .sequentiallyConsistent) >= bytes {
            self.wake()
        }
    }

    private func wake() {
        let due = watches.withLock { watches in
            let (now, hasFailed) = (bytes, hasFailed)
            let due = watches.filter { hasFailed || $0.bytes <= now }
            watches.removeAll { hasFailed || $0.bytes <= now }
            awaited.store(watches.map(\.bytes).min() ?? .max, ordering: .sequentiallyConsistent)
            return due
        }
        for watch in due { watch.wake() }
    }
}
