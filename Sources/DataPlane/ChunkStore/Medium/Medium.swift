internal import Glibc
internal import LinuxShim

/// The medium that the cache is to lie on.
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
    /// This process mounts, unless a mounter does.
    package var mounts: any TmpfsMounts = OwnMounts()

    public init(preference: Preference = .automatic, hugePages: Bool = true, mountLimitBytes: UInt64? = nil) {
        self.preference = preference
        self.hugePages = hugePages
        self.mountLimitBytes = mountLimitBytes
    }
}

/// The medium that a model really got.
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
        let marker = StateDirectory(directory: directory).marker
        let known = marker.status(&status)
        if known < 0 { throw .from(Int(known), "look at", "\(marker)") }
        let huge = UInt64(status.block_bytes) >= Manifest.hugePageBytes
        return huge ? .hugeTmpfs : .tmpfs
    }
}
