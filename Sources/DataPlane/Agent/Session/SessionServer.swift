internal import Glibc
internal import LinuxShim
package import Logging
internal import Synchronization

/// Receives what sessions say. Called on the server's thread, one call at a time: must not block.
package protocol SessionHandler: AnyObject, Sendable {
    func received(_ packet: Packet, from session: Session)
    /// The last call for this session; its client is gone or was dismissed.
    func ended(_ session: Session)
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
        /// Taken out of use by another thread; closed by the one that polls them, which keeps their numbers from being reused.
        var closing: [Int32] = []
        var isStopping = false
    }
    private struct Listener {
        let path: String
        let scope: SessionScope
    }

    private let wakeup: Int32
    private let state = Mutex(State())
    private let logger: Logger

    /// Listens at the agent's own socket.
    ///
    /// - Throws: ``SocketError``.
    package init(path: String, logger: Logger) throws(SocketError) {
        self.logger = logger
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
        let listener = volume.map { mc_listen_beneath($0, CacheSocket.name, 1024, 0o666) } ?? mc_seqpacket_listen(path, 1024, 0o666)
        guard listener >= 0 else { throw SocketError(operation: "listen", path: path, errno: -listener) }
        state.withLock { $0.listeners[listener] = Listener(path: path, scope: scope) }
        _ = mc_eventfd_signal(wakeup)
    }

    /// No new client of this scope; those that are connected read end of file.
    package func close(_ scope: SessionScope) {
        let sessions = state.withLock { state in
            for (descriptor, listener) in state.listeners where listener.scope == scope {
                Self.unlink(listener.path)
                state.listeners[descriptor] = nil
                state.closing.append(descriptor)
            }
            return state.sessions.values.filter { $0.scope == scope }
        }
        for session in sessions { session.dismiss() }
        _ = mc_eventfd_signal(wakeup)
    }

    /// Serves until ``stop()``. Blocks the calling thread.
    package func run(handler: any SessionHandler) {
        while true {
            let (listeners, sessions, closing) = state.withLock { state in
                defer { state.closing = [] }
                return (state.listeners, Array(state.sessions.keys), state.closing)
            }
            for descriptor in closing { Glibc.close(descriptor) }
            var polled = ([wakeup] + listeners.keys + sessions).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let count = poll(&polled, nfds_t(polled.count), -1)
            if count < 0 && errno != EINTR { break }
            if state.withLock({ $0.isStopping }) { break }
            guard count > 0 else { continue }
            for entry in polled where entry.revents != 0 {
                if entry.fd == wakeup {
                    _ = mc_eventfd_drain(wakeup)
                } else if let listener = listeners[entry.fd] {
                    accept(at: entry.fd, listener)
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
            handler.ended(session)
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

    private func accept(at listening: Int32, _ listener: Listener) {
        while true {
            let descriptor = mc_accept(listening)
            guard descriptor >= 0 else {
                // Out of descriptors: the backlog waits; poll reports it again at once, so pause.
                if descriptor == -EMFILE || descriptor == -ENFILE {
                    logger.error("out of file descriptors", metadata: ["socket": "\(listener.path)"])
                    usleep(100_000)
                }
                return
            }
            let session = Session(descriptor: descriptor, scope: listener.scope)
            // A socket that was closed meanwhile has no clients.
            let isServed = state.withLock { state in
                guard state.listeners[listening] != nil else { return false }
                state.sessions[descriptor] = session
                return true
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
                logger.warning("client dismissed", metadata: ["pid": "\(session.peer.processID)", "reason": "\(error)"])
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
        handler.ended(session)
    }
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
