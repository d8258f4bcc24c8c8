internal import Glibc
internal import LinuxShim

/// A model's own tmpfs.
enum ModelMount {
    /// Bytes a manifest's directory can come to: in huge pages every file rounds up to 2 MiB, presence files and our
    /// own few files too.
    static func neededBytes(_ manifest: Manifest) -> UInt64 {
        let page = Manifest.hugePageBytes
        func roundUp(_ n: UInt64) -> UInt64 { (n + page - 1) / page * page }
        return manifest.files.reduce(16 * page) { sum, file in
            let chunks = (file.size + manifest.chunkBytes - 1) / manifest.chunkBytes
            return sum + roundUp(file.size) + roundUp(PresenceLayout(chunkCount: chunks).bytes)
        }
    }

    /// 0 or -errno. Kernels without huge tmpfs pages get one without.
    static func mount(at path: String, bytes: UInt64, hugePages: Bool) -> Int32 {
        let plain = "size=\(bytes),mode=0755"
        let result = mc_mount_tmpfs(path, hugePages ? plain + ",huge=always" : plain)
        return result == -EINVAL && hugePages ? mc_mount_tmpfs(path, plain) : result
    }

    /// Makes the tmpfs at `path` hold `bytes`; a larger one stays as it is.
    static func grow(_ path: String, to bytes: UInt64, by mounts: any TmpfsMounts) throws(ChunkStoreError) {
        var filesystem = mc_filesystem()
        var result = mc_filesystem_at(path, &filesystem)
        if result < 0 { throw .from(Int(result), "statfs", path) }
        if filesystem.total_bytes >= bytes { return }
        result = try mounts.enlarge(path, to: bytes)
        if result < 0 { throw .from(Int(result), "enlarge the tmpfs at", path) }
    }

    static let probeName = ".mount-probe"

    enum Standing {
        /// No mount there.
        case none
        /// A tmpfs with our source name.
        case ours
        case foreign
    }

    /// The mount at the directory, which need not carry a marker.
    static func standing(of directory: String, parent: String) -> Standing {
        if let table = MountTable.read(), let real = resolved(directory) {
            guard let entry = table.mount(at: real) else { return .none }
            return entry.isOurs ? .ours : .foreign
        }
        // Without /proc: a mount of its own has another device than its parent. The marker tells whose it is.
        var own = mc_stat()
        var above = mc_stat()
        guard mc_stat_at(MC_AT_CWD, directory, &own) == 0, mc_stat_at(MC_AT_CWD, parent, &above) == 0 else {
            return .none
        }
        return own.device != above.device ? .foreign : .none
    }

    private static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
