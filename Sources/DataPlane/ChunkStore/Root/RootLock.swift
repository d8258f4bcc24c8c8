internal import FoundationEssentials
internal import Glibc
internal import LinuxShim

/// One agent per root: a flock, which the kernel drops with the process however it ends. Held as long as the value
/// lives.
public final class RootLock: Sendable {
    private let descriptor: Int32

    /// Creates the root if need be (0755).
    ///
    /// Errors: `.rootLocked`, `.rootNotWritable`, `.io`.
    public init(root: String) throws(ChunkStoreError) {
        try OwnedDirectory.prepare(root)
        let path = "\(root)/cache.lock"
        let fd = mc_openat(MC_AT_CWD, path, MC_OPEN_WRITE.rawValue | MC_OPEN_CREATE.rawValue, 0o644)
        if fd == -EACCES || fd == -EROFS || fd == -EPERM {
            throw .rootNotWritable(path: root, why: String(cString: strerror(-fd)))
        }
        if fd < 0 { throw .from(Int(fd), "open", path) }
        let result = mc_lock_exclusive(fd)
        if result < 0 {
            close(fd)
            if result != -EWOULDBLOCK { throw .from(Int(result), "lock", path) }
            let holder = (try? SmallFile.read(InnerPath("\(root)/.", "cache.lock"))).map {
                String(decoding: $0, as: UTF8.self)
            }
            throw .rootLocked(path: root, pid: holder.flatMap { Int32($0.split(separator: "\n").first ?? "") })
        }
        // The holder's pid, for the message above. Nothing depends on it.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(fd, 0) == 0 { _ = mc_pwrite_all(fd, text, text.count, 0) }
        descriptor = fd
    }

    deinit {
        _ = mc_unlock(descriptor)
        close(descriptor)
    }
}
