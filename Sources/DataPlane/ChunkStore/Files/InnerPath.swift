internal import LinuxShim

/// A name below a cache's directory, reached one component at a time and through no symbolic link.
///
/// A pod may have mounted the directory for writing (a read-only bind is no bar: runc since 1.2 makes a mount writable again
/// where the pod asks for that), and the agent works there with all rights of the node: a link in the place of `.partial`,
/// of a manifest or of a socket must not lead it elsewhere. `top` is the agent's own and trusted. Errors of the calls below are -errno.
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
    package func open(writing: Bool) -> Int32 { mc_open_beneath(top, relative, writing ? MC_OPEN_WRITE.rawValue : 0, 0) }

    /// A file that was not there, for reading and writing.
    package func create(mode: UInt32) -> Int32 {
        mc_open_beneath(top, relative, MC_OPEN_WRITE.rawValue | MC_OPEN_CREATE.rawValue, mode)
    }

    func status(_ out: inout mc_stat) -> Int32 { mc_stat_beneath(top, relative, &out) }

    package var exists: Bool {
        var status = mc_stat()
        return self.status(&status) == 0
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
