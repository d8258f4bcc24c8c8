internal import Glibc
internal import Synchronization

/// The caps for sent bytes: one for the store, one for the connection, one for the response.
final class Pacer: Sendable {
    private let bandwidth: Mutex<Bandwidth?>

    init(bytesPerSecond: Double?) { bandwidth = Mutex(Bandwidth(bytesPerSecond: bytesPerSecond)) }

    var isCapped: Bool { bandwidth.withLock { $0 != nil } }

    /// Nil or 0 removes the cap.
    func set(bytesPerSecond: Double?) {
        bandwidth.withLock { current in
            if current?.bytesPerSecond != bytesPerSecond { current = Bandwidth(bytesPerSecond: bytesPerSecond) }
        }
    }

    /// Nanoseconds to wait before `bytes` may be sent.
    func reserve(bytes: Int64) -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let now = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
        return bandwidth.withLock { $0?.reserve(bytes: bytes, now: now) ?? 0 }
    }
}
