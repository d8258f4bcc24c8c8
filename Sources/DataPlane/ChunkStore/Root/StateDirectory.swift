internal import AgentWire
internal import FoundationEssentials
internal import Glibc
internal import LinuxShim

/// `.modelcache/` of a model's directory: marker, manifest, boot record, pin.
struct StateDirectory: Sendable {
    /// The model's directory.
    let directory: String

    var path: String { "\(directory)/\(MC_STATE_DIRECTORY)" }
    var marker: String { "\(path)/marker" }
    var manifest: String { "\(path)/manifest.json" }
    /// Of a volume: what it was prepared for.
    var definition: String { "\(path)/definition.json" }
    private var boot: String { "\(path)/boot" }
    private var pin: String { "\(path)/pinned" }
    private static let markerText = "modelcache model directory 1\n"

    /// Only what carries the marker is ever deleted. Errors: `.io` when that cannot be told (too few descriptors, a bad
    /// disk): then it must be taken neither for ours nor for another's.
    func isOurs() throws(ChunkStoreError) -> Bool {
        do {
            return try SmallFile.read(marker) == Data(StateDirectory.markerText.utf8)
        } catch {
            if case .io(_, _, let code) = error, [ENOENT, ENOTDIR, ELOOP, EISDIR].contains(code) { return false }
            if case .corrupt = error { return false }
            throw error
        }
    }

    /// What a start that died before the marker has left: nothing but empty directories of our names and perhaps half a
    /// marker. Removes that; whatever else is there stays, and then the directory does.
    func clearBeginnings() {
        unlink(marker + ".new")
        for name in [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY, MC_STATE_DIRECTORY] { rmdir("\(directory)/\(name)") }
    }

    func create(_ manifest: Manifest) throws(ChunkStoreError) {
        try mark()
        try describe(manifest)
    }

    /// The marker first: what has it can be removed by the next start, however little of the rest there is.
    func mark() throws(ChunkStoreError) {
        try Directories.make(path)
        try SmallFile.write(Data(StateDirectory.markerText.utf8), to: marker)
    }

    func describe(_ manifest: Manifest) throws(ChunkStoreError) {
        try Directories.make("\(directory)/\(MC_PARTIAL_DIRECTORY)")
        try Directories.make("\(directory)/\(MC_PRESENCE_DIRECTORY)")
        try SmallFile.write(try manifest.encoded(), to: self.manifest)
    }

    func readManifest() throws(ChunkStoreError) -> Manifest {
        let data: Data
        do {
            data = try SmallFile.read(manifest)
        } catch {
            // A start that died between marker and manifest.
            if case .io(_, _, ENOENT) = error { throw .corrupt(path: manifest, why: "it is missing") }
            throw error
        }
        return try Manifest(encoded: data)
    }

    /// Whether what lies here may have been cut off by a crash of the machine: it was not closed, and the machine has booted
    /// since. The death of an agent alone loses nothing, for the page cache lives on.
    func wasCutOff(bootID: String) -> Bool {
        guard let data = try? SmallFile.read(boot) else { return true }
        let words = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        return words.count != 2 || (words[1] != "closed" && words[0] != bootID)
    }

    func record(bootID: String, closed: Bool) throws(ChunkStoreError) {
        do {
            try SmallFile.write(Data("\(bootID) \(closed ? "closed" : "open")\n".utf8), to: boot)
        } catch {
            // No record means "cut off", the safe side, and needs no room on a full disk.
            unlink(boot + ".new")
            if closed { throw error }
            if unlink(boot) != 0 && errno != ENOENT { throw error }
        }
    }

    var isPinned: Bool { access(pin, F_OK) == 0 }

    func setPinned(_ pinned: Bool) throws(ChunkStoreError) {
        if pinned {
            try SmallFile.write(Data(), to: pin)
        } else if unlink(pin) != 0 && errno != ENOENT {
            throw .from(Int(-errno), "remove", pin)
        }
    }

    /// Seconds since 1970: the time of the marker.
    var lastUsed: Int64 {
        var status = mc_stat()
        return mc_stat_at(MC_AT_CWD, marker, &status) == 0 ? Int64(status.modified_seconds) : 0
    }

    func touch() { _ = mc_touch(marker) }
}

/// Small files that are whole or absent.
enum SmallFile {
    /// Written aside, synced, renamed.
    static func write(_ data: Data, to path: String) throws(ChunkStoreError) {
        let aside = path + ".new"
        // Left by a crash, or a link that somebody else put there: neither is to be written through.
        unlink(aside)
        let fd = mc_openat(MC_AT_CWD, aside, MC_OPEN_WRITE.rawValue | MC_OPEN_CREATE.rawValue | MC_OPEN_EXCLUSIVE.rawValue | MC_OPEN_NO_FOLLOW.rawValue, 0o644)
        if fd < 0 { throw .from(Int(fd), "create", aside) }
        defer { close(fd) }
        var result = data.withUnsafeBytes { mc_pwrite_all(fd, $0.baseAddress, $0.count, 0) }
        if result == 0 { result = mc_fdatasync(fd) }
        if result < 0 {
            unlink(aside)
            throw .from(Int(result), "write", aside)
        }
        if rename(aside, path) != 0 { throw .from(Int(-errno), "rename to", path) }
    }

    static func read(_ path: String) throws(ChunkStoreError) -> Data {
        let fd = mc_openat(MC_AT_CWD, path, MC_OPEN_NO_FOLLOW.rawValue, 0)
        if fd < 0 { throw .from(Int(fd), "open", path) }
        defer { close(fd) }
        var status = mc_stat()
        _ = mc_stat_descriptor(fd, &status)
        if status.bytes > 256 << 20 { throw .corrupt(path: path, why: "it is far too large") }
        var data = Data(count: Int(status.bytes))
        let got = data.withUnsafeMutableBytes { mc_pread_all(fd, $0.baseAddress, $0.count, 0) }
        if got < 0 { throw .from(got, "read", path) }
        return data.prefix(got)
    }
}
