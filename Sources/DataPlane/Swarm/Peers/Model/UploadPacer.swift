internal import Glibc
internal import Synchronization

/// A rate as a schedule: every reservation moves the next free moment on by the time that its bytes take.
final class UploadPacer: Sendable {
    private struct State {
        var bytesPerSecond: Double?
        var nextFree: Int64 = 0
    }
    private let state = Mutex(State())

    /// An idle sender may catch up on this much, which evens out timers that fire late.
    private static let slackNanoseconds: Int64 = 5_000_000

    var isCapped: Bool { state.withLock { $0.bytesPerSecond != nil } }

    func set(bytesPerSecond: Int64?) {
        state.withLock { $0.bytesPerSecond = bytesPerSecond.flatMap { $0 > 0 ? Double($0) : nil } }
    }

    /// Nanoseconds to wait before `bytes` may leave.
    func reserve(bytes: Int) -> Int64 {
        precondition(bytes >= 0, "bytes that leave are not negative")
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let now = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
        return state.withLock { state in
            guard let rate = state.bytesPerSecond else { return 0 }
            let start = max(state.nextFree, now - Self.slackNanoseconds)
            state.nextFree = start + Int64(Double(bytes) / rate * 1e9)
            return max(0, start - now)
        }
    }
}
