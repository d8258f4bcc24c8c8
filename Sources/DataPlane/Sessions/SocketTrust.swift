internal import Glibc
internal import LinuxShim
internal import Models

/// Whether a socket may be given the caller's keys: nobody but the caller and root can have put it there, and one of
/// the two listens.
///
/// The socket, every folder above it and every link on the way belong to one of the two, and no other user may write to
/// a folder, unless its sticky bit keeps others from replacing what is in it. DataPlane/Preload/SocketTrust.swift is
/// the library's same rule.
struct SocketTrust {
    /// The caller's effective user.
    let user: uid_t
    /// The socket is a ModelCache's, root's of the node, whom a pod's user namespace may not know.
    let mayBeOverflow: Bool

    private static let maximumLinks = 16
    /// Users that a user namespace does not know all look like this one.
    private static let overflowUser: uid_t = 65534

    init(path: String, user: uid_t = geteuid()) {
        self.user = user
        mayBeOverflow = path.hasSuffix("/.modelcache/agent.sock") && Self.isInUserNamespace
    }

    /// Errors: ``AgentRefused`` that names the folder and the remedy. A path is judged as far as it exists.
    func check(path: String) throws {
        var rest = path.split(separator: "/").map(String.init)[...]
        var at: [String] = []
        var links = 0
        while let name = rest.popFirst() {
            if name == "." { continue }
            if name == ".." {
                _ = at.popLast()
                continue
            }
            let entry = "/" + (at + [name]).joined(separator: "/")
            var status = stat()
            guard lstat(entry, &status) == 0 else { return }
            guard isTrusted(status.st_uid) else {
                throw refusal(path, "\(entry) belongs to user \(status.st_uid), neither this user nor root; remove it")
            }
            switch status.st_mode & S_IFMT {
            case S_IFLNK:
                links += 1
                guard links <= Self.maximumLinks else {
                    throw refusal(path, "\(entry) is one of too many links; name the place itself")
                }
                let target = try self.target(of: entry)
                if target.hasPrefix("/") { at = [] }
                rest = (target.split(separator: "/").map(String.init) + rest)[...]
            case S_IFDIR:
                try checkFolder(path, entry, status)
                at.append(name)
            default:
                at.append(name)
            }
        }
    }

    /// Errors: ``AgentRefused`` when another user listens at the other end.
    func check(peerOf descriptor: Int32, path: String) throws {
        var peer = mc_peer()
        let result = mc_peer_credentials(descriptor, &peer)
        guard result == 0, isTrusted(peer.user) else {
            throw AgentRefused(
                code: AgentFailure.Code.settings.rawValue,
                message: """
                    \(path): user \(peer.user) listens there, neither this user nor root: nothing was sent; \(Self.remedy)
                    """)
        }
    }

    private static let remedy = "set MODELCACHE_ROOT or MODELCACHE_SOCKET to a place of your own"

    private func isTrusted(_ owner: uid_t) -> Bool {
        owner == 0 || owner == user || (mayBeOverflow && owner == Self.overflowUser)
    }

    private func checkFolder(_ path: String, _ folder: String, _ status: stat) throws {
        let isSticky = status.st_mode & 0o1000 != 0
        let isOpen = status.st_mode & 0o002 != 0 || (status.st_mode & 0o020 != 0 && status.st_gid != 0)
        guard isOpen && !isSticky else { return }
        let mode = String(status.st_mode & 0o7777, radix: 8)
        throw refusal(
            path,
            """
            \(folder) can be written by other users (mode \(mode)), who could listen in the agent's place; take that right away (chmod go-w)
            """)
    }

    private func target(of link: String) throws -> String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(link, &buffer, buffer.count)
        guard count >= 0 else { throw refusal(link, "\(link) is a link that cannot be read") }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }

    private func refusal(_ path: String, _ why: String) -> AgentRefused {
        AgentRefused(
            code: AgentFailure.Code.settings.rawValue, message: "\(path): is not safe to use: \(why), or \(Self.remedy)"
        )
    }

    /// The first namespace maps all users onto themselves.
    private static var isInUserNamespace: Bool {
        let descriptor = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &text, text.count)
        return count > 0 && !String(decoding: text.prefix(count), as: UTF8.self).contains("4294967295")
    }
}
