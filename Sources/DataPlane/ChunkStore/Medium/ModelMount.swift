internal import Glibc
internal import LinuxShim

/// A model's own tmpfs.
enum ModelMount {
    /// Bytes a manifest's directory can come to: in huge pages every file rounds up to 2 MiB, presence files and our own
    /// few files too.
    static func neededBytes(_ manifest: Manifest) -> UInt64 {
        let piece = Manifest.pieceBytes
        func roundUp(_ n: UInt64) -> UInt64 { (n + piece - 1) / piece * piece }
        return manifest.files.reduce(16 * piece) { sum, file in
            let chunks = (file.size + manifest.chunkBytes - 1) / manifest.chunkBytes
            return sum + roundUp(file.size) + roundUp(PresenceLayout(chunkCount: chunks).bytes)
        }
    }

    /// Mounts; false when this process may not. Kernels without huge tmpfs pages get one without.
    static func mount(at path: String, bytes: UInt64, hugePages: Bool) throws(ChunkStoreError) -> Bool {
        let plain = "size=\(bytes),mode=0755"
        var result = mc_mount_tmpfs(path, hugePages ? plain + ",huge=always" : plain)
        if result == -EINVAL && hugePages { result = mc_mount_tmpfs(path, plain) }
        if result == -EPERM || result == -EACCES { return false }
        if result < 0 { throw .from(Int(result), "mount tmpfs at", path) }
        return true
    }

    /// Makes the tmpfs at `path` hold `bytes`; a larger one stays as it is.
    static func grow(_ path: String, to bytes: UInt64) throws(ChunkStoreError) {
        var filesystem = mc_filesystem()
        var result = mc_filesystem_at(path, &filesystem)
        if result < 0 { throw .from(Int(result), "statfs", path) }
        if filesystem.total_bytes >= bytes { return }
        result = mc_remount_tmpfs(path, "size=\(bytes)")
        if result < 0 { throw .from(Int(result), "enlarge the tmpfs at", path) }
    }

    /// Whether this process may mount, found out by doing it: neither the user nor the capabilities tell, for containers
    /// forbid it in several ways. The mount lasts a moment.
    static func isAllowed(below models: String) -> Bool {
        let directory = "\(models)/\(probeName)"
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else { return false }
        defer { rmdir(directory) }
        guard mc_mount_tmpfs(directory, "size=64k,mode=0700") == 0 else { return false }
        return mc_unmount_detached(directory) == 0
    }

    static let probeName = ".mount-probe"

    enum Standing {
        /// No mount there.
        case none
        /// A tmpfs with our source name.
        case ours
        case foreign
    }

    /// What is mounted at the directory, which need not carry a marker.
    static func standing(of directory: String, parent: String) -> Standing {
        if let table = MountTable.read(), let real = resolved(directory) {
            guard let entry = table.mount(at: real) else { return .none }
            return entry.type == "tmpfs" && entry.source == MC_MOUNT_SOURCE ? .ours : .foreign
        }
        // Without /proc: a mount of its own has another device than its parent. Whose it is the marker tells.
        var own = mc_stat()
        var above = mc_stat()
        guard mc_stat_at(MC_AT_CWD, directory, &own) == 0, mc_stat_at(MC_AT_CWD, parent, &above) == 0 else { return .none }
        return own.device != above.device ? .foreign : .none
    }

    private static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
