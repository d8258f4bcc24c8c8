internal import Glibc
internal import LinuxShim

/// Mounts, enlarges and unmounts the tmpfs of each cache: this process does, or a mounter beside it.
///
/// A directory is a cache's, `<root>/models/NAME` or `<root>/caches/NAME`. Results are 0 or -errno.
package protocol TmpfsMounts: Sendable {
    /// Whether caches in the folder `models` get mounts. Nil: it cannot be told now, as on a full medium.
    func isAllowed(below models: String) -> Bool?
    /// Errors: `.mounterAway`, `.mountNotSeen`, `.io`.
    func mount(_ directory: String, bytes: UInt64, hugePages: Bool) throws(ChunkStoreError) -> Int32
    /// Errors: `.mounterAway`.
    func enlarge(_ directory: String, to bytes: UInt64) throws(ChunkStoreError) -> Int32
    /// Lazy: the memory is freed with the last close. Errors: `.mounterAway`.
    func unmount(_ directory: String) throws(ChunkStoreError) -> Int32
}

/// This process mounts, with its own CAP_SYS_ADMIN.
struct OwnMounts: TmpfsMounts {
    /// Found out by doing it: neither the user nor the capabilities tell, for containers forbid it in several ways. The
    /// mount lasts a moment.
    func isAllowed(below models: String) -> Bool? {
        let directory = "\(models)/\(ModelMount.probeName)"
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else { return nil }
        defer { rmdir(directory) }
        switch mc_mount_tmpfs(directory, "size=64k,mode=0700") {
        case 0: return mc_unmount_detached(directory) == 0 ? true : nil
        case -EPERM, -EACCES: return false
        default: return nil
        }
    }

    func mount(_ directory: String, bytes: UInt64, hugePages: Bool) throws(ChunkStoreError) -> Int32 {
        ModelMount.mount(at: directory, bytes: bytes, hugePages: hugePages)
    }

    func enlarge(_ directory: String, to bytes: UInt64) throws(ChunkStoreError) -> Int32 {
        mc_remount_tmpfs(directory, "size=\(bytes)")
    }

    func unmount(_ directory: String) throws(ChunkStoreError) -> Int32 { mc_unmount_detached(directory) }
}
