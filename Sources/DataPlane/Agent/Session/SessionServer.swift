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

/// The agent's unix socket: accepts clients, reads packets, hands them to a ``SessionHandler``.
///
/// One thread polls all sessions, of which a machine has tens. Packets are few (a demand for each chunk somebody waits
/// for) and the work they cause happens elsewhere.
///
/// A client that sends something that is no packet gets one `MC_ERROR` and is dismissed; the others never notice.
package final class SessionServer: Sendable {
    private struct State {
        var sessions: [Int32: Session] = [:]
        var isStopping = false
    }

    package let path: String
    private let listener: Int32
    private let wakeup: Int32
    private let state = Mutex(State())
    private let logger: Logger

    /// Binds `path` with mode 0666: who may open a model is decided by its credentials, not by the file's mode.
    ///
    /// A socket file that a dead agent left behind is replaced; the caller holds the root's lock.
    ///
    /// - Throws: ``SocketError``.
    package init(path: String, logger: Logger) throws(SocketError) {
        self.path = path
        self.logger = logger
        unlink(path)
        listener = mc_seqpacket_listen(path, 1024, 0o666)
        guard listener >= 0 else { throw SocketError(operation: "listen", path: path, errno: -listener) }
        wakeup = mc_eventfd()
        guard wakeup >= 0 else { throw SocketError(operation: "eventfd", path: path, errno: -wakeup) }
    }

    /// Serves until ``stop()``. Blocks the calling thread.
    package func run(handler: any SessionHandler) {
        while true {
            let watched = state.withLock { [listener, wakeup] + $0.sessions.keys }
            var polled = watched.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let count = poll(&polled, nfds_t(polled.count), -1)
            if count < 0 && errno != EINTR { break }
            if state.withLock({ $0.isStopping }) { break }
            for entry in polled where entry.revents != 0 {
                if entry.fd == listener {
                    accept()
                } else if entry.fd != wakeup {
                    serve(entry.fd, handler: handler)
                }
            }
        }
        let left = state.withLock { state in
            defer { state.sessions.removeAll() }
            return Array(state.sessions.values)
        }
        for session in left {
            session.close()
            handler.ended(session)
        }
        unlink(path)
        Glibc.close(listener)
    }

    /// Ends ``run(handler:)``: no new client, all sessions closed.
    package func stop() {
        state.withLock { $0.isStopping = true }
        _ = mc_eventfd_signal(wakeup)
    }

    package var sessionCount: Int { state.withLock { $0.sessions.count } }

    private func accept() {
        while true {
            let descriptor = mc_accept(listener)
            guard descriptor >= 0 else {
                // Out of descriptors: the backlog waits; poll reports it again at once, so pause.
                if descriptor == -EMFILE || descriptor == -ENFILE {
                    logger.error("out of file descriptors", metadata: ["socket": "\(path)"])
                    usleep(100_000)
                }
                return
            }
            let session = Session(descriptor: descriptor)
            state.withLock { $0.sessions[descriptor] = session }
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
