// Sessions: the agent's unix sockets.
//
// - `SessionServer` accepts clients on one thread and reads their packets; `SessionCensus` bounds how many there are.
// - `SessionMachine` decides what a session may do and what follows; `ModelSessions` carries it out.
// - `Packet` is agent_wire.h in Swift: decoding is total, for the bytes come from whoever can reach the socket.
// - `AgentClient` and `SocketTrust` are the command's end.
// Invariants: a packet is sent completely or not at all; nothing on the server's thread blocks.
// Left to others: which model a caller may have (Models), who a caller is (NodeAPI).

internal import Accepting
internal import Glibc
internal import LinuxShim
package import Logging
internal import Models
internal import Synchronization

/// Receives what sessions say. Called on the server's thread, one call at a time: must not block.
package protocol SessionHandler: AnyObject, Sendable {
    func received(_ packet: Packet, from session: Session)
    /// The last call for this session; its client is gone or was dismissed.
    ///
    /// - Parameter left: to be called once, on any thread, when nothing goes on for the session any more: until then it
    ///   keeps its place in the census.
    func ended(_ session: Session, left: @escaping @Sendable () -> Void)
}

/// The agent's unix sockets, its own and one for each ModelCache: accepts clients, reads packets, hands them to a
/// ``SessionHandler``.
///
/// One thread polls all sessions, of which a machine has tens. Packets are few (a demand for each chunk somebody waits
/// for) and the work they cause happens elsewhere.
///
/// A client that sends something that is no packet gets one `MC_ERROR` and is dismissed; the others never notice.
package final class SessionServer: Sendable {
    private struct State {
        var listeners: [Int32: Listener] = [:]
        var sessions: [Int32: Session] = [:]
        var census = SessionCensus()
        /// Taken out of use by another thread; closed by the one that polls them, which keeps their numbers from being
        /// reused.
        var closing: [Int32] = []
        var isStopping = false
    }
    private enum LoggedEvent: Hashable, Sendable {
        case refused(SessionScope)
        case dismissed(SessionScope)
        case noDescriptor
        case noPoll
    }
    private struct Listener {
        let path: String
        let scope: SessionScope
    }

    /// After a lack of descriptors or memory the clients wait so long.
    private static let rest = Duration.milliseconds(100)

    private let wakeup: Int32
    private let state = Mutex(State())
    private let paced: PacedLogger<LoggedEvent>

    /// Listens at the agent's own socket.
    ///
    /// - Throws: ``SocketError``.
    package init(path: String, logger: Logger) throws(SocketError) {
        paced = PacedLogger(logger)
        wakeup = mc_eventfd()
        guard wakeup >= 0 else { throw SocketError(operation: "eventfd", path: path, errno: -wakeup) }
        try listen(at: path, for: .agent)
    }

    /// Binds `path` with mode 0666: who may open a model is decided by its credentials, not by the file's mode.
    ///
    /// A socket file that a dead agent left behind is replaced; the caller holds the root's lock.
    ///
    /// - Throws: ``SocketError``.
    package func listen(at path: String, for scope: SessionScope) throws(SocketError) {
        Self.unlink(path)
        let volume = CacheSocket.volume(of: path)
        let listener =
            volume.map { mc_listen_beneath($0, CacheSocket.name, 1024, 0o666) }
            ?? mc_seqpacket_listen(path, 1024, 0o666)
        guard listener >= 0 else { throw SocketError(operation: "listen", path: path, errno: -listener) }
        state.withLock { $0.listeners[listener] = Listener(path: path, scope: scope) }
        _ = mc_eventfd_signal(wakeup)
    }

    /// No new client of this scope; those that are connected read end of file.
    package func close(_ scope: SessionScope) {
        let (sessions, paths) = state.withLock { state in
            let closed = state.listeners.filter { $0.value.scope == scope }
            for descriptor in closed.keys { state.listeners[descriptor] = nil }
            state.closing += closed.keys
            return (state.sessions.values.filter { $0.scope == scope }, closed.values.map(\.path))
        }
        // Not under the lock, for which the server's thread would wait: the cache may lie on a slow disk.
        for path in paths { Self.unlink(path) }
        for session in sessions { session.dismiss() }
        _ = mc_eventfd_signal(wakeup)
    }

    /// Serves until ``stop()``. Blocks the calling thread.
    package func run(handler: any SessionHandler) {
        /// The listeners rest: those who connect wait in the backlog, which poll(2) would report again at once.
        var restsUntil: ContinuousClock.Instant?
        while true {
            let (listeners, sessions, closing) = state.withLock { state in
                defer { state.closing = [] }
                return (state.listeners, Array(state.sessions.keys), state.closing)
            }
            for descriptor in closing { Glibc.close(descriptor) }
            if let end = restsUntil, end <= .now { restsUntil = nil }
            let accepting = restsUntil == nil ? Array(listeners.keys) : []
            var polled = ([wakeup] + accepting + sessions).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            let timeout = restsUntil == nil ? -1 : Int32(Self.rest / .milliseconds(1))
            let count = poll(&polled, nfds_t(polled.count), timeout)
            if count < 0 && errno != EINTR { standStill(errno) }
            if state.withLock({ $0.isStopping }) { break }
            guard count > 0 else { continue }
            for entry in polled where entry.revents != 0 {
                if entry.fd == wakeup {
                    _ = mc_eventfd_drain(wakeup)
                } else if let listener = listeners[entry.fd] {
                    if !accept(at: entry.fd, listener) { restsUntil = .now + Self.rest }
                } else {
                    serve(entry.fd, handler: handler)
                }
            }
        }
        let (left, listeners, closing) = state.withLock { state in
            defer {
                state.sessions.removeAll()
                state.listeners.removeAll()
                state.closing.removeAll()
            }
            return (Array(state.sessions.values), state.listeners, state.closing)
        }
        for session in left {
            session.close()
            handler.ended(session) {}
        }
        for (descriptor, listener) in listeners {
            Self.unlink(listener.path)
            Glibc.close(descriptor)
        }
        for descriptor in closing { Glibc.close(descriptor) }
    }

    /// Pods may be able to write where a cache's own socket lies: no link there is followed.
    private static func unlink(_ path: String) {
        if let volume = CacheSocket.volume(of: path) {
            _ = mc_unlink_beneath(volume, CacheSocket.name, false)
        } else {
            Glibc.unlink(path)
        }
    }

    /// Ends ``run(handler:)``: no new client, all sessions closed.
    package func stop() {
        state.withLock { $0.isStopping = true }
        _ = mc_eventfd_signal(wakeup)
    }

    package var sessionCount: Int { state.withLock { $0.sessions.count } }

    /// The kernel could not even look: it has no memory for it, or the limit of open files was lowered.
    private func standStill(_ code: Int32) {
        paced.log(.noPoll, .error, "no session is served: the kernel does not say which has packets; this is tried again") {
            ["reason": "\(String(cString: strerror(code)))"]
        }
        usleep(UInt32(Self.rest / .microseconds(1)))
    }

    /// - Returns: false: the process has no descriptor, or no memory, for those who wait.
    private func accept(at listening: Int32, _ listener: Listener) -> Bool {
        while true {
            let descriptor = mc_accept(listening)
            guard descriptor >= 0 else {
                guard AcceptPause.isLack(-descriptor) else { return true }
                paced.log(.noDescriptor, .error, "out of file descriptors: clients wait; raise the agent's limit of open files") {
                    ["socket": "\(listener.path)", "reason": "\(String(cString: strerror(-descriptor)))"]
                }
                return false
            }
            let session = Session(descriptor: descriptor, scope: listener.scope)
            // A socket that was closed meanwhile has no clients.
            let (isServed, refusal): (Bool, String?) = state.withLock { state in
                guard state.listeners[listening] != nil else { return (false, nil) }
                if let refusal = state.census.arrived(session.peer, session.scope) { return (false, refusal) }
                precondition(state.sessions[descriptor] == nil, "a number was closed before its session was forgotten")
                state.sessions[descriptor] = session
                return (true, nil)
            }
            if let refusal {
                paced.log(.refused(session.scope), .warning, "client refused") {
                    ["pid": "\(session.peer.processID)", "reason": "\(refusal)"]
                }
                session.send(.error(code: AgentFailure.Code.capacity.rawValue, message: refusal))
            }
            if !isServed { session.close() }
        }
    }

    private func serve(_ descriptor: Int32, handler: any SessionHandler) {
        guard let session = state.withLock({ $0.sessions[descriptor] }) else { return }
        // A bounded number of packets a turn, so that one client cannot keep the others waiting.
        for _ in 0..<32 {
            switch session.receive() {
            case .packet(let packet):
                handler.received(packet, from: session)
            case .nothing:
                return
            case .malformed(let error):
                paced.log(.dismissed(session.scope), .warning, "client dismissed") {
                    ["pid": "\(session.peer.processID)", "reason": "\(error)"]
                }
                session.send(.error(code: AgentFailure.Code.protocol.rawValue, message: "\(error)"))
                end(session, handler: handler)
                return
            case .closed:
                end(session, handler: handler)
                return
            }
        }
    }

    private func end(_ session: Session, handler: any SessionHandler) {
        guard state.withLock({ $0.sessions.removeValue(forKey: session.descriptor) }) != nil else { return }
        session.close()
        let (peer, scope) = (session.peer, session.scope)
        handler.ended(session) { [weak self] in self?.state.withLock { $0.census.left(peer, scope) } }
    }
}

extension SessionServer: CacheSockets {
    package func listen(at path: String, forCache uid: String) throws { try listen(at: path, for: .cache(uid)) }

    package func close(cache uid: String) { close(.cache(uid)) }
}

/// A call on a unix socket failed.
package struct SocketError: Error, CustomStringConvertible {
    package let operation: String
    package let path: String
    package let errno: Int32

    package var description: String {
        "\(path): \(operation) failed: \(String(cString: strerror(errno))); check that the folder exists and may be written, or set MODELCACHE_SOCKET"
    }
}
