package import AgentAPI
internal import Foundation
internal import Glibc
package import Logging
internal import Synchronization

/// The secret as its file says now: read again whenever the file is another one or was written, as a mounted Secret is
/// by the kubelet (a link that is swapped).
package final class AuthSecretFile: Sendable {
    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let modifiedSeconds: Int64
        let modifiedNanoseconds: Int64
    }
    private struct State {
        var identity: Identity?
        var secret: AuthSecret?
        var isKnownBad = false
    }

    private let path: String
    private let logger: Logger
    private let state = Mutex(State())

    package init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// Nil while there is none that can be used: then nothing is accepted.
    package var secret: AuthSecret? {
        state.withLock { state in
            guard let identity = identity() else {
                complain(&state, "cannot be read (\(String(cString: strerror(errno))))")
                return nil
            }
            if identity == state.identity { return state.secret }
            state.identity = identity
            // Larger files are no list of secrets.
            let text = identity.size <= 64 << 10 ? FileManager.default.contents(atPath: path) : nil
            state.secret = text.flatMap { AuthSecret(contents: String(decoding: $0, as: UTF8.self)) }
            if state.secret == nil {
                complain(&state, "holds no line of at least \(AuthSecret.minimumKeyBytes) bytes")
            } else {
                state.isKnownBad = false
                logger.info("auth secret read", metadata: ["path": "\(path)"])
            }
            return state.secret
        }
    }

    private func complain(_ state: inout State, _ why: String) {
        state.secret = nil
        if state.isKnownBad { return }
        state.isKnownBad = true
        logger.error(
            "MODELCACHE_AUTH_SECRET_FILE \(why); every order is refused until it is corrected",
            metadata: ["path": "\(path)"])
    }

    private func identity() -> Identity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Identity(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modifiedSeconds: Int64(status.st_mtim.tv_sec), modifiedNanoseconds: Int64(status.st_mtim.tv_nsec))
    }
}
