import Glibc
import Synchronization

/// Holds requests until a number of them has come, and counts where they came from.
final class Gate: Sendable {
    private struct State {
        var wanted: Int
        var peers: [String] = []
    }
    private let state: Mutex<State>

    init(_ wanted: Int) { state = Mutex(State(wanted: wanted)) }

    var peers: [String] { state.withLock { $0.peers } }
    func reset(_ wanted: Int) { state.withLock { $0 = State(wanted: wanted) } }

    func arrive(_ peer: String) {
        state.withLock { $0.peers.append(peer) }
        while state.withLock({ $0.peers.count < $0.wanted }) { usleep(500) }
    }
}
