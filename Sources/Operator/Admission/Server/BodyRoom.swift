internal import Synchronization

/// Bytes of requests that may be in memory at once. The port is open to the whole cluster; the operator's memory is not for the taking.
final class BodyRoom: Sendable {
    private let free: Mutex<Int>

    init(bytes: Int) { free = Mutex(bytes) }

    func take(_ bytes: Int) -> Bool {
        free.withLock { free in
            guard free >= bytes else { return false }
            free -= bytes
            return true
        }
    }

    func giveBack(_ bytes: Int) { free.withLock { $0 += bytes } }
}
