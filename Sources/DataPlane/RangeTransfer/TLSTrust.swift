import Glibc
import Synchronization
import TLSShim

/// The authorities that the engine's own TLS connections trust, and the sessions that a next connection to the same
/// origin resumes without the server's certificate and signature.
///
/// The authorities are read once, and again when their file or folder has changed: libcurl reads them for each
/// connection, and Debian's 140 take longer than the handshake.
final class TLSTrust: Sendable {
    /// @unchecked Sendable: OpenSSL counts a session's references atomically, and nobody changes a copy.
    private final class Session: @unchecked Sendable {
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
        deinit { mc_tls_session_free(pointer) }
    }

    private struct State {
        var context: OpaquePointer?
        var watch: AuthorityWatch
        var sessions = SessionShelf<DirectOrigin, Session>()
    }

    private let authorities: Authorities
    private let verifiesHostName: Bool
    private let state: Mutex<State>

    init(_ authorities: Authorities, verifiesHostName: Bool) {
        self.authorities = authorities
        self.verifiesHostName = verifiesHostName
        state = Mutex(State(watch: AuthorityWatch(file: authorities.file, folder: authorities.folder)))
    }

    deinit { state.withLock { mc_tls_context_free($0.context) } }

    /// The client's end of TLS over a connected socket, before the handshake; `DirectConnection` ends it. Nil: the
    /// authorities cannot be read, or the host is no name that a certificate can have.
    func open(_ descriptor: Int32, to origin: DirectOrigin) -> OpaquePointer? {
        state.withLock { state in
            let haveChanged = state.watch.hasChanged(now: .now)
            if haveChanged || state.context == nil {
                // Connections that stand keep the context they were made with.
                mc_tls_context_free(state.context)
                // A session vouches for a certificate that the old authorities signed.
                state.sessions.forgetAll()
                state.context = mc_tls_context_new(authorities.file, authorities.folder)
            }
            guard let context = state.context else { return nil }
            let resumed = state.sessions.take(for: origin, now: time(nil))
            return withExtendedLifetime(resumed?.session) {
                mc_tls_new(
                    context, descriptor, origin.host, verifiesHostName, resumed?.session.pointer, resumed?.end ?? 0)
            }
        }
    }

    /// Keeps a connection's session, if it has one, for the next connection to its origin: not where the authorities
    /// have changed since the connection was made.
    func keepSession(of connection: DirectConnection) {
        guard let (pointer, end) = connection.takeSession() else { return }
        let session = Session(pointer)
        let origin = connection.origin
        // Compared alone; the connection keeps its context from being freed.
        let context = UInt(bitPattern: connection.trustContext)
        state.withLock { state in
            guard context == UInt(bitPattern: state.context) else { return }
            state.sessions.keep(session, for: origin, until: end)
        }
    }

    /// A connection to the origin broke before the server answered. Its session may be why, and then those of others
    /// are no better: the next handshake is a complete one.
    func forgetSessions(of origin: DirectOrigin) { state.withLock { $0.sessions.forget(origin) } }
}
