internal import Glibc
internal import LinuxShim

/// The agent's end of a ``Mounter``: a connection for each request.
package struct MounterClient: TmpfsMounts {
    private let socket: String
    /// A mount takes milliseconds, and behind others not much more. An order of the operator needs two responses at
    /// most, a mount and the removal of one that does not show, and the agent is to say why it failed while the
    /// operator still listens (`CachePath.orderPatience`).
    package static let patience: Duration = .seconds(6)
    /// A mounter that hangs accepts nobody, and those who gave up stay in its backlog.
    private static let connectMilliseconds: Int32 = 1000
    private static let patienceMilliseconds = Int32(patience / .milliseconds(1))

    package init(socket: String) { self.socket = socket }

    /// Waits until the mounter accepts connections, which may start together with this process.
    ///
    /// Errors: `.mounterAway` when it does not within `limit`.
    package func answers(within limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        while true {
            do throws(ChunkStoreError) {
                close(try connected())
                return
            } catch {
                if ContinuousClock.now >= deadline { throw error }
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// `/dev/userfaultfd`, which the caller closes; -errno where the kernel has none.
    ///
    /// Errors: `.mounterAway`.
    package func faultDevice() throws(ChunkStoreError) -> Int32 {
        let (code, descriptor) = try ask(.faultDevice)
        if code == 0, descriptor < 0 { throw away("its response has no descriptor") }
        return code < 0 ? code : descriptor
    }

    package func isAllowed(below models: String) -> Bool? { true }

    package func mount(_ directory: String, bytes: UInt64, hugePages: Bool) throws(ChunkStoreError) -> Int32 {
        let place = try place(directory)
        let code = try code(of: .mount(place, bytes: bytes, hugePages: hugePages))
        // A mounter that may not mount is no reason to do without.
        if code == -EPERM || code == -EACCES { throw .from(Int(code), "mount tmpfs at", directory) }
        guard code == 0, ModelMount.standing(of: directory, parent: directory + "/..") == .none else { return code }
        // Bytes written here would have no limit, and no pod would see them.
        _ = try unmount(directory)
        throw .mountNotSeen(path: directory)
    }

    package func enlarge(_ directory: String, to bytes: UInt64) throws(ChunkStoreError) -> Int32 {
        try code(of: .enlarge(place(directory), bytes: bytes))
    }

    package func unmount(_ directory: String) throws(ChunkStoreError) -> Int32 {
        try code(of: .unmount(place(directory)))
    }

    private func place(_ directory: String) throws(ChunkStoreError) -> CachePlace {
        guard let place = CachePlace(directory: directory) else { throw .notOurs(path: directory) }
        return place
    }

    private func away(_ why: String) -> ChunkStoreError { .mounterAway(socket: socket, why: why) }

    private func connected() throws(ChunkStoreError) -> Int32 {
        let connection = mc_seqpacket_connect(socket, MounterClient.connectMilliseconds)
        if connection == -EAGAIN { throw away("it accepts no connection") }
        if connection < 0 { throw away(String(cString: strerror(-connection))) }
        var peer = mc_peer()
        guard mc_peer_credentials(connection, &peer) == 0, peer.user == 0 || peer.user == geteuid() else {
            close(connection)
            throw away("user \(peer.user) listens there")
        }
        return connection
    }

    private func code(of request: MountRequest) throws(ChunkStoreError) -> Int32 {
        let (code, descriptor) = try ask(request)
        if descriptor >= 0 { close(descriptor) }
        return code
    }

    private func ask(_ request: MountRequest) throws(ChunkStoreError) -> (code: Int32, descriptor: Int32) {
        let connection = try connected()
        defer { close(connection) }
        let packet = request.encoded
        let sent = mc_send_packet(connection, packet, packet.count, -1, true)
        if sent < 0 { throw away(String(cString: strerror(Int32(-sent)))) }
        guard mc_wait_readable(connection, MounterClient.patienceMilliseconds) == 1 else {
            throw away("no response within \(MounterClient.patienceMilliseconds / 1000) s")
        }
        var response = [UInt8](repeating: 0, count: MountRequest.responseLength)
        var descriptor: Int32 = -1
        let count = mc_receive_packet(connection, &response, response.count, &descriptor, false)
        guard count == response.count else {
            if descriptor >= 0 { close(descriptor) }
            throw away("it closed the connection")
        }
        let code = response.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element) << UInt32(8 * $1.offset) }
        return (Int32(bitPattern: code), descriptor)
    }
}
