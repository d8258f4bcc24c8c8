internal import Glibc
internal import LinuxShim
internal import Synchronization

/// The process at the other end of a session, as the kernel names it (SO_PEERCRED, unix(7)).
package struct PeerCredentials: Equatable, Sendable {
    package let processID: Int32
    package let userID: UInt32

    package init(processID: Int32, userID: UInt32) {
        self.processID = processID
        self.userID = userID
    }
}

/// Which socket a client came in by, and so what it may ask for.
package enum SessionScope: Hashable, Sendable {
    /// The agent's own socket: any source that the caller can prove.
    case agent
    /// The socket of the cache with this uid: that ModelCache alone.
    case cache(String)
}

/// One client's connection. Sending is safe from any thread: a SOCK_SEQPACKET packet is sent whole or not at all.
package final class Session: Sendable, Hashable {
    package let peer: PeerCredentials
    package let scope: SessionScope
    let descriptor: Int32
    /// Guards against a send on a number that was closed and given to another file.
    private let isOpen = Mutex(true)

    init(descriptor: Int32, scope: SessionScope = .agent) {
        self.descriptor = descriptor
        self.scope = scope
        var credentials = mc_peer()
        if mc_peer_credentials(descriptor, &credentials) == 0 {
            peer = PeerCredentials(processID: credentials.process, userID: credentials.user)
        } else {
            peer = PeerCredentials(processID: 0, userID: .max)
        }
    }

    enum Received {
        case packet(Packet)
        case nothing
        case malformed(PacketError)
        case closed
    }

    func receive() -> Received {
        var buffer = [UInt8](repeating: 0, count: Packet.maximumBytes)
        let count = mc_receive_packet(descriptor, &buffer, buffer.count, nil, false)
        switch count {
        case -Int(EAGAIN), -Int(EINTR): return .nothing
        case -Int(EMSGSIZE): return .malformed(.tooLong)
        // SOCK_SEQPACKET has no empty packets in this protocol: 0 is the end.
        case ...0: return .closed
        default: break
        }
        do throws(PacketError) {
            return .packet(try Packet(decoding: Array(buffer.prefix(count))))
        } catch {
            return .malformed(error)
        }
    }

    /// Sends a packet, with a descriptor if one is given. Never blocks: false when the client does not read or is gone.
    ///
    /// A client that does not read its notices has enough of them queued: each says only "look again".
    @discardableResult
    package func send(_ packet: Packet, descriptor passed: Int32? = nil) -> Bool {
        let bytes = packet.encoded
        return isOpen.withLock { isOpen in
            guard isOpen else { return false }
            return bytes.withUnsafeBytes { mc_send_packet(descriptor, $0.baseAddress, $0.count, passed ?? -1, false) }
                >= 0
        }
    }

    /// Ends the conversation: the client reads what was sent, then end of file; the server then ends the session.
    package func dismiss() {
        isOpen.withLock { isOpen in
            if isOpen { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// The client is gone: nothing reaches it any more.
    var isClosed: Bool { isOpen.withLock { !$0 } }

    func close() {
        isOpen.withLock { isOpen in
            guard isOpen else { return }
            isOpen = false
            Glibc.close(descriptor)
        }
    }

    package static func == (lhs: Session, rhs: Session) -> Bool { lhs === rhs }
    package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
