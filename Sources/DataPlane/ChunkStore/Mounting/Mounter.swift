internal import Glibc
internal import LinuxShim
package import Logging
internal import Synchronization

/// Mounts for an agent that may not: the one process of a node with CAP_SYS_ADMIN.
///
/// It reads packets of one length from one unix socket (``MountRequest``), has no other input, and opens nothing that
/// is in a cache. A request names a cache, and the mounter finds its directory below its own root without following a
/// symbolic link, so whoever takes over the agent can mount and unmount the tmpfs of caches and nothing else.
///
/// One connection, one request, one response: nothing is remembered, so mounter and agent may restart at any time.
package final class Mounter: Sendable {
    /// Without symbolic links: the paths of the mount table.
    private let root: String
    private let listener: Int32
    private let logger: Logger
    private let isStopping = Mutex(false)

    /// An agent sends its request right after it has connected.
    private static let patienceMilliseconds: Int32 = 5000

    /// Makes the root if need be (0755), tries out whether it may mount, and listens.
    ///
    /// - Parameter socket: for its own user and root; at most 107 bytes. A file of that name is replaced.
    /// Errors: `.mayNotMount`, `.rootNotWritable`, `.io`.
    package init(root: String, socket: String, logger: Logger) throws(ChunkStoreError) {
        try OwnedDirectory.prepare(root)
        guard let real = realpath(root, nil) else { throw .from(Int(-errno), "resolve", root) }
        defer { free(real) }
        self.root = String(cString: real)
        self.logger = logger
        guard Self.isAllowed(below: self.root) else { throw .mayNotMount(path: root) }
        if unlink(socket) != 0, errno != ENOENT { throw .from(Int(-errno), "remove", socket) }
        listener = mc_seqpacket_listen(socket, 16, 0o600)
        if listener < 0 { throw .from(Int(listener), "listen at", socket) }
    }

    deinit { close(listener) }

    /// As ``OwnMounts/isAllowed(below:)``, through no symbolic link: the folder is the agent's, which may have planted
    /// one.
    private static func isAllowed(below root: String) -> Bool {
        let name = ModelMount.probeName
        guard mkdir("\(root)/\(name)", 0o700) == 0 || errno == EEXIST else { return false }
        defer { rmdir("\(root)/\(name)") }
        let directory = mc_open_directory_beneath(root, name)
        guard directory >= 0 else { return false }
        defer { close(directory) }
        guard mc_mount_tmpfs("/proc/self/fd/\(directory)", "size=64k,mode=0700") == 0 else { return false }
        let mounted = mc_open_directory_beneath(root, name)
        guard mounted >= 0 else { return false }
        defer { close(mounted) }
        return mc_unmount_descriptor(mounted) == 0
    }

    /// Serves one connection after the other until ``stop()``.
    package func run() {
        while true {
            _ = mc_wait_readable(listener, -1)
            let connection = mc_accept(listener)
            if connection < 0 {
                if isStopping.withLock({ $0 }) { return }
                // Out of descriptors: the client waits in the backlog, and would be reported again at once.
                if connection == -EMFILE || connection == -ENFILE { usleep(100_000) }
                continue
            }
            serve(connection)
            close(connection)
        }
    }

    /// Ends ``run()``, from any thread.
    package func stop() {
        isStopping.withLock { $0 = true }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private func serve(_ connection: Int32) {
        var peer = mc_peer()
        guard mc_peer_credentials(connection, &peer) == 0, peer.user == 0 || peer.user == geteuid() else {
            return logger.warning("another user's request is not read", metadata: ["user": "\(peer.user)"])
        }
        guard mc_wait_readable(connection, Mounter.patienceMilliseconds) == 1 else { return }
        var packet = [UInt8](repeating: 0, count: MountRequest.length)
        // A longer packet is -EMSGSIZE; descriptors that come with it are closed.
        let count = mc_receive_packet(connection, &packet, packet.count, nil, false)
        if count == 0 { return }
        // Hung up: the agent waited long enough, and may have done something else with the cache since.
        if mc_wait_readable(connection, 0) != 0 { return logger.warning("nobody waits for this request any more") }
        let request = count == packet.count ? MountRequest(decoding: packet) : nil
        let (code, descriptor) = request.map(respond(to:)) ?? (-EINVAL, -1)
        defer { if descriptor >= 0 { close(descriptor) } }
        let line = request?.description ?? "none"
        logger.log(level: code == 0 ? .info : .warning, "served", metadata: ["request": "\(line)", "code": "\(code)"])
        let response = withUnsafeBytes(of: code.littleEndian) { Array($0) }
        _ = mc_send_packet(connection, response, response.count, descriptor, false)
    }

    /// Carries a request out: 0 or -errno, and the descriptor of a fault device or -1.
    package func respond(to request: MountRequest) -> (code: Int32, descriptor: Int32) {
        switch request {
        case .mount(let place, let bytes, let hugePages):
            let code = at(place, where: .none) { directory in
                ModelMount.mount(at: directory.path, bytes: bytes, hugePages: hugePages)
            }
            return (code, -1)
        case .enlarge(let place, let bytes):
            let code = at(place, where: .ours) { directory in
                var filesystem = mc_filesystem()
                let known = mc_filesystem_at(directory.path, &filesystem)
                if known < 0 || filesystem.total_bytes >= bytes { return known }
                return mc_remount_tmpfs(directory.path, "size=\(bytes)")
            }
            return (code, -1)
        case .unmount(let place):
            return (at(place, where: .ours) { mc_unmount_descriptor($0.descriptor) }, -1)
        case .faultDevice:
            let descriptor = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)
            return descriptor < 0 ? (-errno, -1) : (0, descriptor)
        }
    }

    private struct OpenDirectory {
        let descriptor: Int32
        /// Leads to the directory that is open, whatever has its name by now.
        var path: String { "/proc/self/fd/\(descriptor)" }
    }

    /// Does `work` at the cache's directory if what is mounted there is what it needs: else -EBUSY where nothing may
    /// be, and -EINVAL where a mount of ours must be, as umount2(2) has it.
    private func at(_ place: CachePlace, where needed: ModelMount.Standing, _ work: (OpenDirectory) -> Int32) -> Int32 {
        let descriptor = mc_open_directory_beneath(root, place.description)
        if descriptor < 0 { return descriptor }
        defer { close(descriptor) }
        guard let mount = MountTable.read()?.mount(of: descriptor) else { return -ENOSYS }
        let standing: ModelMount.Standing =
            mount.point != "\(root)/\(place)" ? .none : mount.isOurs ? .ours : .foreign
        if standing != needed { return needed == .none ? -EBUSY : -EINVAL }
        return work(OpenDirectory(descriptor: descriptor))
    }
}
