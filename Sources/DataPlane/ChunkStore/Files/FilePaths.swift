internal import AgentWire
internal import Glibc
internal import LinuxShim
internal import TextCoding

/// The names of one object in a model's directory.
struct FilePaths: Sendable {
    let directory: String
    let key: String

    var plain: InnerPath { InnerPath(directory, key) }
    var partial: InnerPath { InnerPath(directory, "\(MC_PARTIAL_DIRECTORY)/\(key)") }
    var presence: InnerPath { InnerPath(directory, "\(MC_PRESENCE_DIRECTORY)/\(key)") }
    /// Where a file that is to take this place is made; a start clears what a crash leaves there.
    func stagedData(_ index: UInt32) -> InnerPath { InnerPath(directory, "\(FilePaths.stagingDirectory)/\(index)") }
    func stagedPresence(_ index: UInt32) -> InnerPath {
        InnerPath(directory, "\(FilePaths.stagingDirectory)/\(index).presence")
    }
    static let stagingDirectory = "\(MC_STATE_DIRECTORY)/staged"
    var temporary: InnerPath { InnerPath(directory, "\(MC_STATE_DIRECTORY)/presence.new") }

    func makeParents() throws(ChunkStoreError) {
        for top in [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY] { try makeParents(under: "\(top)/") }
    }

    private func makeParents(under top: String) throws(ChunkStoreError) {
        var path = top
        for component in KeyRules.parts(key).dropLast() {
            path += component
            try InnerPath(directory, path).makeDirectory()
            path += "/"
        }
    }

    /// The sparse file of full length under `.partial/`; nil: there is none. One of another length, and what is no
    /// file, is none.
    /// Errors: `.io` when that cannot be told.
    func openData(size: UInt64) throws(ChunkStoreError) -> (descriptor: Int32, inode: UInt64)? {
        let found = partial.open(writing: true)
        if found == -ENOENT || found == -ELOOP { return nil }
        if found < 0 { throw .from(Int(found), "open", "\(partial)") }
        var status = mc_stat()
        let result = mc_stat_descriptor(found, &status)
        if result == 0, status.bytes == size { return (found, status.inode) }
        close(found)
        if result < 0 { throw .from(Int(result), "look at", "\(partial)") }
        return nil
    }

    /// A new sparse file of full length, of no other name.
    func createData(at path: InnerPath, size: UInt64) throws(ChunkStoreError) -> (descriptor: Int32, inode: UInt64) {
        let fd = path.create(mode: 0o644)
        if fd < 0 { throw .from(Int(fd), "create", "\(path)") }
        var status = mc_stat()
        // The mode whatever the umask says: readers run as other users.
        if fchmod(fd, 0o644) != 0 || ftruncate(fd, Int(size)) != 0 || mc_stat_descriptor(fd, &status) < 0 {
            let code = errno
            close(fd)
            _ = path.unlink()
            throw .from(Int(-code), "set the size of", "\(path)")
        }
        return (fd, status.inode)
    }

    /// Takes every name from the file, the plain one first: neither a crash nor an error leaves that alone, for without
    /// the other name nobody could tell that it is ours.
    ///
    /// Errors: `.io`; the names that are left can be taken again.
    func removeAll() throws(ChunkStoreError) {
        try unpublish()
        removeEmptyParents(under: "")
        for (name, top) in [(presence, MC_PRESENCE_DIRECTORY), (partial, MC_PARTIAL_DIRECTORY)] {
            try Self.remove(name)
            removeEmptyParents(under: "\(top)/")
        }
    }

    /// A directory in its place is left. Errors: `.io`.
    static func remove(_ name: InnerPath) throws(ChunkStoreError) {
        let gone = name.unlink()
        if gone < 0, ![ENOENT, ENOTDIR, EISDIR].contains(-gone) { throw .from(Int(gone), "remove", "\(name)") }
    }

    /// A directory that holds anything stays.
    private func removeEmptyParents(under top: String) {
        var components = KeyRules.parts(key).dropLast()
        while !components.isEmpty {
            if InnerPath(directory, top + components.joined(separator: "/")).removeDirectory() < 0 { return }
            components.removeLast()
        }
    }

    /// Gives a file made aside its names, the presence file last: who finds that finds the data file it describes.
    func place(data: InnerPath, presence staged: InnerPath) throws(ChunkStoreError) {
        try makeParents()
        for (from, to) in [(data, partial), (staged, presence)] {
            let result = from.rename(to: to)
            if result < 0 { throw .from(Int(result), "rename to", "\(to)") }
        }
    }

    /// Whether the plain name is the very file under `.partial/`. Errors: `.io` when it cannot be told: bytes that
    /// readers may see must not be taken for hidden.
    func isPublished() throws(ChunkStoreError) -> Bool {
        guard let a = try plain.found(), let b = try partial.found() else { return false }
        return a.device == b.device && a.inode == b.inode
    }

    /// Errors: `.nameTaken` when something else has the plain name, or that of a folder above it; `.io`, `.mediumFull`.
    func publish() throws(ChunkStoreError) {
        if try isPublished() { return }
        if let taken = try foreignName() { throw .nameTaken(path: "\(taken)") }
        try makeParents(under: "")
        let result = partial.link(to: plain)
        if result == 0 { return }
        if result == -EEXIST { throw .nameTaken(path: "\(plain)") }
        throw .from(Int(result), "link", "\(plain)")
    }

    /// Something that has the plain name and is not the file, or that stands in the place of a folder above it.
    /// Errors: `.io` when it cannot be told.
    func foreignName() throws(ChunkStoreError) -> InnerPath? {
        var path = ""
        for component in KeyRules.parts(key).dropLast() {
            path += component
            let folder = InnerPath(directory, path)
            guard let status = try folder.found() else { return nil }
            if !status.is_directory { return folder }
            path += "/"
        }
        guard try plain.found() != nil else { return nil }
        return try isPublished() ? nil : plain
    }

    /// Errors: `.io`: the plain name may still be there.
    func unpublish() throws(ChunkStoreError) {
        if try isPublished() { try Self.remove(plain) }
    }
}
