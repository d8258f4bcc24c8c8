internal import Synchronization

/// Counters of one fill. Every method may be called from any thread.
public final class FillMeter: Sendable {
    private struct Looks: Sendable {
        var rate = TransferRate()
        var storeRate = TransferRate()
        /// The last look.
        var lastTime: ContinuousClock.Instant?
        var waits = DemandWaits()
        var partialBytes: UInt64 = 0
        var hasEnded = false
    }

    private let bytes = Atomic<Int64>(0)
    private let peerByteCount = Atomic<Int64>(0)
    private let copiedByteCount = Atomic<Int64>(0)
    private let wrongCount = Atomic<Int64>(0)
    private let requestCount = Atomic<Int64>(0)
    private let retryCount = Atomic<Int64>(0)
    private let throttleCount = Atomic<Int64>(0)
    private let refillCount = Atomic<Int64>(0)
    private let transfers = Atomic<Int>(0)
    private let looks = Mutex(Looks())

    public init() {}

    /// Body bytes received from the store, repeated ones included.
    public var receivedBytes: Int64 { bytes.load(ordering: .relaxed) }
    /// Body bytes received from other nodes, repeated ones included.
    public var peerBytes: Int64 { peerByteCount.load(ordering: .relaxed) }
    /// Blocks that came from other nodes with wrong bytes, and assertions about them that turned out wrong.
    public var wrongPeerBlocks: Int64 { wrongCount.load(ordering: .relaxed) }
    /// Bytes copied from other caches of this node.
    public var copiedBytes: Int64 { copiedByteCount.load(ordering: .relaxed) }
    /// From wherever they came.
    public var allBytes: Int64 { receivedBytes + peerBytes + copiedBytes }
    public var requests: Int64 { requestCount.load(ordering: .relaxed) }
    public var retries: Int64 { retryCount.load(ordering: .relaxed) }
    public var throttled: Int64 { throttleCount.load(ordering: .relaxed) }
    /// Whole files read again because their digest was wrong.
    public var refilledFiles: Int64 { refillCount.load(ordering: .relaxed) }
    public var transfersInFlight: Int { transfers.load(ordering: .relaxed) }
    /// See ``TransferRate``; nil: not known.
    public func bytesPerSecond(now: ContinuousClock.Instant = .now) -> Double? {
        looks.withLock { $0.hasEnded ? nil : $0.rate.bytesPerSecond(now: now) }
    }
    /// Of ``bytesPerSecond(now:)`` that of the store.
    public func storeBytesPerSecond(now: ContinuousClock.Instant = .now) -> Double? {
        looks.withLock { $0.hasEnded ? nil : $0.storeRate.bytesPerSecond(now: now) }
    }
    /// Bytes of chunks that are not complete.
    public var partialBytes: UInt64 { looks.withLock { $0.partialBytes } }
    /// The time in which a reader waited for bytes that were missing, by cause.
    public var waits: DemandWaits { looks.withLock { $0.waits } }

    func received(_ count: Int) { bytes.wrappingAdd(Int64(count), ordering: .relaxed) }
    func receivedFromPeer(_ count: Int) { peerByteCount.wrappingAdd(Int64(count), ordering: .relaxed) }
    func copied(_ count: Int) { copiedByteCount.wrappingAdd(Int64(count), ordering: .relaxed) }
    func wrongPeerBlock() { wrongCount.wrappingAdd(1, ordering: .relaxed) }
    func requested() { requestCount.wrappingAdd(1, ordering: .relaxed) }
    func retried() { retryCount.wrappingAdd(1, ordering: .relaxed) }
    func wasThrottled() { throttleCount.wrappingAdd(1, ordering: .relaxed) }
    func refilled() { refillCount.wrappingAdd(1, ordering: .relaxed) }

    /// A look at the fill, several times a second.
    ///
    /// - Parameters:
    ///   - wait: the cause for which readers wait now.
    ///   - partialBytes: of chunks that are not complete.
    func sample(inFlight: Int, wait: DemandWait?, partialBytes: UInt64, now: ContinuousClock.Instant) {
        transfers.store(inFlight, ordering: .relaxed)
        let total = allBytes
        let ofStore = receivedBytes
        looks.withLock { looks in
            if let last = looks.lastTime, let wait { looks.waits[wait] += last.duration(to: now) }
            looks.lastTime = now
            looks.partialBytes = partialBytes
            looks.rate.sample(bytes: total, now: now)
            looks.storeRate.sample(bytes: ofStore, now: now)
        }
    }

    func ended() {
        transfers.store(0, ordering: .relaxed)
        looks.withLock { looks in
            looks.hasEnded = true
            looks.partialBytes = 0
        }
    }
}
