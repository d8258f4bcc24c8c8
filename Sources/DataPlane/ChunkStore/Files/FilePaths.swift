internal import AgentWire
internal import Glibc
internal import LinuxShim

/// The names of one object in a model's directory.
struct FilePaths: Sendable {
    let directory: String
    let key: String

    var plain: InnerPath { InnerPath(directory, key) }
    var partial: InnerPath { InnerPath(directory, "\(MC_PARTIAL_DIRECTORY)/\(key)") }
    var presence: InnerPath { InnerPath(directory, "\(MC_PRESENCE_DIRECTORY)/\(key)") }
    var temporary: InnerPath { InnerPath(directory, "\(MC_STATE_DIRECTORY)/presence.new") }

    func makeParents() throws(ChunkStoreError) {
        for top in [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY] { try makeParents(under: "\(top)/") }
    }

    private func makeParents(under top: String) throws(ChunkStoreError) {
        var path = top
        for component in key.split(separator: "/").dropLast() {
            path += component
            try InnerPath(directory, path).makeDirectory()
            path += "/"
        }
    }

    /// The sparse file of full length under `.partial/`; false if it had to be made. One of another length is replaced, and so
    /// is what is no file.
    func openData(size: UInt64) throws(ChunkStoreError) -> (descriptor: Int32, existed: Bool) {
        let found = partial.open(writing: true)
        if found >= 0 {
            var status = mc_stat()
            if mc_stat_descriptor(found, &status) == 0, status.bytes == size { return (found, true) }
            close(found)
        } else if found != -ENOENT && found != -ELOOP {
            throw .from(Int(found), "open", "\(partial)")
        }
        if found != -ENOENT {
            unpublish()
            _ = partial.unlink()
        }
        _ = presence.unlink()
        let fd = partial.create(mode: 0o644)
        if fd < 0 { throw .from(Int(fd), "create", "\(partial)") }
        // The mode whatever the umask says: readers run as other users.
        if fchmod(fd, 0o644) != 0 || ftruncate(fd, Int(size)) != 0 {
            let code = errno
            close(fd)
            throw .from(Int(-code), "set the size of", "\(partial)")
        }
        return (fd, false)
    }

    /// Whether the plain name is the very file under `.partial/`.
    var isPublished: Bool {
        var a = mc_stat()
        var b = mc_stat()
        guard plain.status(&a) == 0, partial.status(&b) == 0 else { return false }
        return a.device == b.device && a.inode == b.inode
    }

    /// Errors: `.notOurs` when another file has the plain name.
    func publish() throws(ChunkStoreError) {
        if isPublished { return }
        try makeParents(under: "")
        let result = partial.link(to: plain)
        if result == 0 { return }
        if result == -EEXIST { throw .notOurs(path: "\(plain)") }
        throw .from(Int(result), "link", "\(plain)")
    }

    func unpublish() {
        if isPublished { _ = plain.unlink() }
    }
}
