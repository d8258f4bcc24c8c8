internal import NIOCore
internal import Synchronization

/// Carries out ``ConnectionRoster`` for all connections of one port. Safe from any event loop.
package final class ConnectionRegister: Sendable {
    private struct State {
        var roster: ConnectionRoster
        var channels: [ConnectionRoster.ID: any Channel] = [:]
    }

    private let state: Mutex<State>

    /// - Parameter mostConnections: the server's own limit, from which it accepts no more. A quarter of it is left to
    ///   connections whose request is being answered.
    package init(mostConnections: Int) {
        state = Mutex(State(roster: ConnectionRoster(capacity: max(1, mostConnections * 3 / 4))))
    }

    func connected(_ channel: any Channel) -> ConnectionRoster.ID {
        let address = channel.remoteAddress?.ipAddress ?? ""
        let (id, closing) = state.withLock { state in
            let (id, closing) = state.roster.connected(from: address)
            state.channels[id] = channel
            return (id, closing.flatMap { state.channels.removeValue(forKey: $0) })
        }
        closing?.close(promise: nil)
        return id
    }

    func note(_ id: ConnectionRoster.ID, isResting: Bool) {
        state.withLock { state in
            if isResting { state.roster.rests(id) } else { state.roster.works(id) }
        }
    }

    func disconnected(_ id: ConnectionRoster.ID) {
        state.withLock { state in
            state.roster.disconnected(id)
            state.channels[id] = nil
        }
    }
}
