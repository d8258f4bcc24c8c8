internal import Glibc
internal import LinuxShim

/// What the cache is to lie on.
public struct MediumOptions: Sendable {
    public enum Preference: String, Sendable {
        /// A tmpfs of its own per model where this process may mount, else a plain directory.
        case automatic
        /// A tmpfs of its own per model, or an error.
        case mount
        /// Plain directories below the root, whatever file system that is.
        case directory
        /// Plain directories, with the rules for disks whatever the file system says.
        case disk
    }

    public var preference: Preference
    /// Ask for huge pages on mounts of our own.
    public var hugePages: Bool
    /// Hard size of each mount in bytes; nil: what the model needs.
    public var mountLimitBytes: UInt64?

    public init(preference: Preference = .automatic, hugePages: Bool = true, mountLimitBytes: UInt64? = nil) {
        self.preference = preference
        self.hugePages = hugePages
        self.mountLimitBytes = mountLimitBytes
    }
}

/// What a model really got.
public enum Medium: String, Sendable {
    /// tmpfs with huge pages (`MC_OPENED_HUGE_PAGES`).
    case hugeTmpfs
    case tmpfs
    /// `MC_OPENED_DISK`.
    case disk

    static func of(_ directory: String, preference: MediumOptions.Preference) throws(ChunkStoreError) -> Medium {
        if preference == .disk { return .disk }
        var filesystem = mc_filesystem()
        let result = mc_filesystem_at(directory, &filesystem)
        if result < 0 { throw .from(Int(result), "statfs", directory) }
        if !filesystem.is_tmpfs { return .disk }
        // Of a file: a directory does not tell.
        var status = mc_stat()
        if mc_stat_at(MC_AT_CWD, StateDirectory(directory: directory).marker, &status) == 0, UInt64(status.block_bytes) >= Manifest.pieceBytes { return .hugeTmpfs }
        return .tmpfs
    }
}

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

    /// Whether the directory is a mount of its own: its device is not its parent's.
    static func isMountPoint(_ path: String, parent: String) -> Bool {
        var own = mc_stat()
        var above = mc_stat()
        guard mc_stat_at(MC_AT_CWD, path, &own) == 0, mc_stat_at(MC_AT_CWD, parent, &above) == 0 else { return false }
        return own.device != above.device
    }
}
