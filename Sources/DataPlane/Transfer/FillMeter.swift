internal import Synchronization

/// Counters of one fill. Every method may be called from any thread.
public final class FillMeter: Sendable {
    private struct Rate: Sendable {
        var bytesPerSecond = 0.0
        var lastBytes: Int64 = 0
        var lastTime: ContinuousClock.Instant?
    }

    private let bytes = Atomic<Int64>(0)
    private let peerByteCount = Atomic<Int64>(0)
    private let wrongCount = Atomic<Int64>(0)
    private let requestCount = Atomic<Int64>(0)
    private let retryCount = Atomic<Int64>(0)
    private let throttleCount = Atomic<Int64>(0)
    private let refillCount = Atomic<Int64>(0)
    private let transfers = Atomic<Int>(0)
    private let rate = Mutex(Rate())

    public init() {}

    /// Body bytes received from the store, repeated ones included.
    public var receivedBytes: Int64 { bytes.load(ordering: .relaxed) }
    /// Body bytes received from other nodes, repeated ones included.
    public var peerBytes: Int64 { peerByteCount.load(ordering: .relaxed) }
    /// Blocks that came from other nodes with wrong bytes, and assertions about them that turned out wrong.
    public var wrongPeerBlocks: Int64 { wrongCount.load(ordering: .relaxed) }
    /// From wherever they came.
    public var allBytes: Int64 { receivedBytes + peerBytes }
    public var requests: Int64 { requestCount.load(ordering: .relaxed) }
    public var retries: Int64 { retryCount.load(ordering: .relaxed) }
    public var throttled: Int64 { throttleCount.load(ordering: .relaxed) }
    /// Whole files read again because their digest was wrong.
    public var refilledFiles: Int64 { refillCount.load(ordering: .relaxed) }
    public var transfersInFlight: Int { transfers.load(ordering: .relaxed) }
    /// Smoothed over about two seconds.
    public var bytesPerSecond: Double { rate.withLock { $0.bytesPerSecond } }

    func received(_ count: Int) { bytes.wrappingAdd(Int64(count), ordering: .relaxed) }
    func receivedFromPeer(_ count: Int) { peerByteCount.wrappingAdd(Int64(count), ordering: .relaxed) }
    func wrongPeerBlock() { wrongCount.wrappingAdd(1, ordering: .relaxed) }
    func requested() { requestCount.wrappingAdd(1, ordering: .relaxed) }
    func retried() { retryCount.wrappingAdd(1, ordering: .relaxed) }
    func wasThrottled() { throttleCount.wrappingAdd(1, ordering: .relaxed) }
    func refilled() { refillCount.wrappingAdd(1, ordering: .relaxed) }

    func sample(inFlight: Int, now: ContinuousClock.Instant) {
        transfers.store(inFlight, ordering: .relaxed)
        let total = allBytes
        rate.withLock { rate in
            guard let last = rate.lastTime else {
                rate.lastTime = now
                rate.lastBytes = total
                return
            }
            let seconds = last.duration(to: now) / .seconds(1)
            guard seconds >= 0.2 else { return }
            let current = Double(total - rate.lastBytes) / seconds
            // Weight of the newest sample for a time constant of two seconds.
            let weight = rate.bytesPerSecond == 0 ? 1 : min(1, seconds / 2)
            rate.bytesPerSecond += (current - rate.bytesPerSecond) * weight
            rate.lastTime = now
            rate.lastBytes = total
        }
    }

    func ended() {
        transfers.store(0, ordering: .relaxed)
        rate.withLock { $0.bytesPerSecond = 0 }
    }
}
