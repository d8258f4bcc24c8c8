internal import AgentWire
internal import Glibc
internal import LinuxShim

/// The names of one object in a model's directory.
struct FilePaths: Sendable {
    let directory: String
    let key: String

    var plain: String { "\(directory)/\(key)" }
    var partial: String { "\(directory)/\(MC_PARTIAL_DIRECTORY)/\(key)" }
    var presence: String { "\(directory)/\(MC_PRESENCE_DIRECTORY)/\(key)" }
    var temporary: String { "\(directory)/\(MC_STATE_DIRECTORY)/presence.new" }

    func makeParents() throws(ChunkStoreError) {
        for top in [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY] { try makeParents(under: "\(directory)/\(top)") }
    }

    private func makeParents(under top: String) throws(ChunkStoreError) {
        var path = top
        for component in key.split(separator: "/").dropLast() {
            path += "/\(component)"
            try Directories.make(path)
        }
    }

    /// The sparse file of full length under `.partial/`; false if it had to be made. One of another length is replaced.
    func openData(size: UInt64) throws(ChunkStoreError) -> (descriptor: Int32, existed: Bool) {
        let found = mc_openat(MC_AT_CWD, partial, MC_OPEN_WRITE.rawValue | MC_OPEN_NO_FOLLOW.rawValue, 0)
        if found >= 0 {
            var status = mc_stat()
            if mc_stat_descriptor(found, &status) == 0, status.is_file, status.bytes == size { return (found, true) }
            close(found)
            unpublish()
            unlink(partial)
        } else if found != -ENOENT {
            throw .from(Int(found), "open", partial)
        }
        unlink(presence)
        let fd = mc_openat(MC_AT_CWD, partial, MC_OPEN_WRITE.rawValue | MC_OPEN_CREATE.rawValue | MC_OPEN_EXCLUSIVE.rawValue, 0o644)
        if fd < 0 { throw .from(Int(fd), "create", partial) }
        // The mode whatever the umask says: readers run as other users.
        if fchmod(fd, 0o644) != 0 || ftruncate(fd, Int(size)) != 0 {
            let code = errno
            close(fd)
            throw .from(Int(-code), "set the size of", partial)
        }
        return (fd, false)
    }

    /// Whether the plain name is the very file under `.partial/`.
    var isPublished: Bool {
        var a = mc_stat()
        var b = mc_stat()
        guard mc_stat_at(MC_AT_CWD, plain, &a) == 0, mc_stat_at(MC_AT_CWD, partial, &b) == 0 else { return false }
        return a.device == b.device && a.inode == b.inode
    }

    /// Errors: `.notOurs` when another file has the plain name.
    func publish() throws(ChunkStoreError) {
        if isPublished { return }
        try makeParents(under: directory)
        if link(partial, plain) == 0 { return }
        let code = errno
        if code == EEXIST { throw .notOurs(path: plain) }
        throw .from(Int(-code), "link", plain)
    }

    func unpublish() {
        if isPublished { unlink(plain) }
    }
}

enum Directories {
    /// 0755 whatever the umask says; one that is there is left as it is.
    static func make(_ path: String) throws(ChunkStoreError) {
        if mkdir(path, 0o755) == 0 {
            chmod(path, 0o755)
            return
        }
        let code = errno
        var status = mc_stat()
        if code == EEXIST, mc_stat_at(MC_AT_CWD, path, &status) == 0, status.is_directory { return }
        throw .from(Int(-code), "create directory", path)
    }
}
