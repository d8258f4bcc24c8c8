internal import Glibc
internal import LinuxShim

/// A name below a cache's directory, reached one component at a time and through no symbolic link.
///
/// A pod may have mounted the directory for writing (a read-only bind is no bar: runc since 1.2 makes a mount writable
/// again where the pod asks for that), and the agent works there as root: a link in the place of
/// `.partial`, of a manifest or of a socket must not lead it elsewhere. `top` is the agent's own and trusted. Errors of
/// the calls below are -errno.
package struct InnerPath: Sendable, CustomStringConvertible {
    /// The cache's directory.
    package let top: String
    /// Below it, without `.` and `..`.
    package let relative: String

    package init(_ top: String, _ relative: String) {
        self.top = top
        self.relative = relative
    }

    /// The whole path, for people.
    package var description: String { "\(top)/\(relative)" }

    package func appending(_ suffix: String) -> InnerPath { InnerPath(top, relative + suffix) }

    /// A regular file that is there.
    package func open(writing: Bool) -> Int32 {
        mc_open_beneath(top, relative, writing ? MC_OPEN_WRITE.rawValue : 0, 0)
    }

    /// A file that was not there, for reading and writing.
    package func create(mode: UInt32) -> Int32 {
        mc_open_beneath(top, relative, MC_OPEN_WRITE.rawValue | MC_OPEN_CREATE.rawValue, mode)
    }

    func status(_ out: inout mc_stat) -> Int32 { mc_stat_beneath(top, relative, &out) }

    /// Whether it is there. Errors: `.io` when it cannot be told (too few descriptors, a bad disk): what may be there
    /// must not be taken for absent.
    package func exists() throws(ChunkStoreError) -> Bool { try found() != nil }

    /// Nil: it is not there. Errors: as ``exists()``.
    func found() throws(ChunkStoreError) -> mc_stat? {
        var status = mc_stat()
        let result = self.status(&status)
        if result == 0 { return status }
        if -result == ENOENT || -result == ENOTDIR { return nil }
        throw .from(Int(result), "look for", description)
    }

    package func touch() -> Int32 { mc_touch_beneath(top, relative) }
    package func unlink() -> Int32 { mc_unlink_beneath(top, relative, false) }
    package func removeDirectory() -> Int32 { mc_unlink_beneath(top, relative, true) }

    /// 0755 whatever the umask says; one that is there is left as it is.
    package func makeDirectory() throws(ChunkStoreError) {
        let result = mc_make_directory_beneath(top, relative, 0o755)
        if result < 0 { throw .from(Int(result), "create directory", description) }
    }

    /// A second name for the file, below the same directory.
    package func link(to name: InnerPath) -> Int32 { mc_link_beneath(top, relative, name.relative) }

    /// Below the same directory.
    package func rename(to name: InnerPath) -> Int32 { mc_rename_beneath(top, relative, name.relative) }

    /// With all below it; symbolic links are removed, not followed.
    package func removeAll() throws(ChunkStoreError) {
        let result = mc_remove_beneath(top, relative)
        if result < 0 { throw .io(operation: "delete", path: description, errno: -result) }
    }
}
