import CurlShim
import Glibc
import Synchronization
import TLSShim

/// The authorities that the engine's own TLS connections trust, and the sessions that a next connection to the same
/// origin resumes without the server's certificate and signature.
///
/// The authorities are read once, and again when their file or folder has changed: libcurl reads them for each
/// connection, and Debian's 140 take longer than the handshake.
final class TLSTrust: Sendable {
    /// Differs when a file or folder is another one.
    private struct Stamp: Equatable {
        let node: UInt
        let size: Int
        let seconds: Int
        let nanoseconds: Int

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            (node, size) = (UInt(status.st_ino), Int(status.st_size))
            (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        }
    }

    /// @unchecked Sendable: OpenSSL counts a session's references atomically, and nobody changes a copy.
    private struct Session: @unchecked Sendable { let pointer: OpaquePointer }

    private struct State {
        var context: OpaquePointer?
        var stamps: [Stamp?] = []
        /// The newest last.
        var sessions: [DirectOrigin: [Session]] = [:]

        mutating func forgetSessions() {
            for session in sessions.values.joined() { mc_tls_session_free(session.pointer) }
            sessions = [:]
        }
    }

    private let file: String?
    private let folder: String?
    private let verifiesHostName: Bool
    private let state = Mutex(State())

    /// A session holds the server's certificates, some kilobytes.
    private static let maximumSessions = 16
    private static let maximumOrigins = 64

    /// Without a file or folder libcurl's own is meant, which the build of libcurl decides. Where certificates need not
    /// name the host a file alone counts: any that the public authorities sign would do.
    init(_ authorities: Authorities, verifiesHostName: Bool) {
        let curl = curl_version_info(CURLVERSION_SEVENTH)?.pointee
        file = authorities.file ?? curl?.cainfo.map { String(cString: $0) }
        folder = verifiesHostName ? authorities.folder ?? curl?.capath.map { String(cString: $0) } : nil
        self.verifiesHostName = verifiesHostName
    }

    deinit {
        state.withLock { state in
            state.forgetSessions()
            mc_tls_context_free(state.context)
        }
    }

    /// The client's end of TLS over a connected socket, before the handshake; `DirectConnection` ends it. Nil: the
    /// authorities cannot be read, or the host is no name that a certificate can have.
    func open(_ descriptor: Int32, to origin: DirectOrigin) -> OpaquePointer? {
        state.withLock { state in
            let stamps = ([file].compactMap { $0 } + (folder?.split(separator: ":").map(String.init) ?? []))
                .map { Stamp($0) }
            if state.context == nil || stamps != state.stamps {
                // Connections that stand keep the context they were made with.
                mc_tls_context_free(state.context)
                // A session vouches for a certificate that the old authorities signed.
                state.forgetSessions()
                state.context = mc_tls_context_new(file, folder)
                state.stamps = stamps
            }
            guard let context = state.context else { return nil }
            // Each is offered once: two connections with one ticket can be told to be one client's (RFC 8446, C.4).
            let session = state.sessions[origin]?.popLast()?.pointer
            defer { mc_tls_session_free(session) }
            return mc_tls_new(context, descriptor, origin.host, verifiesHostName, session)
        }
    }

    /// Keeps a connection's session, if it has one, for the next connection to its origin: not where the authorities
    /// have changed since the connection was made.
    func keepSession(of connection: DirectConnection) {
        guard let session = connection.takeSession().map(Session.init) else { return }
        let origin = connection.origin
        // Compared alone; the connection keeps its context from being freed.
        let context = UInt(bitPattern: connection.trustContext)
        state.withLock { state in
            guard context == UInt(bitPattern: state.context) else { return mc_tls_session_free(session.pointer) }
            if state.sessions[origin] == nil, state.sessions.count >= Self.maximumOrigins {
                state.forgetSessions()
            }
            state.sessions[origin, default: []].append(session)
            if state.sessions[origin, default: []].count > Self.maximumSessions {
                mc_tls_session_free(state.sessions[origin]?.removeFirst().pointer)
            }
        }
    }
}
