internal import AgentWire
internal import FoundationEssentials
internal import Glibc
internal import LinuxShim

/// `.modelcache/` of a model's directory: marker, manifest, boot record, pin.
struct StateDirectory: Sendable {
    /// The model's directory.
    let directory: String

    var path: InnerPath { InnerPath(directory, MC_STATE_DIRECTORY) }
    var marker: InnerPath { path.appending("/marker") }
    var manifest: InnerPath { path.appending("/manifest.json") }
    private var boot: InnerPath { path.appending("/boot") }
    private var pin: InnerPath { path.appending("/pinned") }
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
        _ = marker.appending(".new").unlink()
        for name in [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY, MC_STATE_DIRECTORY] {
            _ = InnerPath(directory, name).removeDirectory()
        }
    }

    func create(_ manifest: Manifest) throws(ChunkStoreError) {
        try mark()
        try describe(manifest)
    }

    /// The marker first: what has it can be removed by the next start, however little of the rest there is.
    func mark() throws(ChunkStoreError) {
        try path.makeDirectory()
        try SmallFile.write(Data(StateDirectory.markerText.utf8), to: marker)
    }

    func describe(_ manifest: Manifest) throws(ChunkStoreError) {
        try InnerPath(directory, MC_PARTIAL_DIRECTORY).makeDirectory()
        try InnerPath(directory, MC_PRESENCE_DIRECTORY).makeDirectory()
        try SmallFile.write(try manifest.encoded(), to: self.manifest)
    }

    func readManifest() throws(ChunkStoreError) -> Manifest {
        let data: Data
        do {
            data = try SmallFile.read(manifest)
        } catch {
            // A start that died between marker and manifest.
            if case .io(_, _, ENOENT) = error { throw .corrupt(path: "\(manifest)", why: "it is missing") }
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
            _ = boot.appending(".new").unlink()
            if closed { throw error }
            let gone = boot.unlink()
            if gone < 0 && gone != -ENOENT { throw error }
        }
    }

    var isPinned: Bool { pin.exists }

    func setPinned(_ pinned: Bool) throws(ChunkStoreError) {
        if pinned {
            try SmallFile.write(Data(), to: pin)
            return
        }
        let gone = pin.unlink()
        if gone < 0 && gone != -ENOENT { throw .from(Int(gone), "remove", "\(pin)") }
    }

    /// Seconds since 1970: the time of the marker.
    var lastUsed: Int64 {
        var status = mc_stat()
        return marker.status(&status) == 0 ? Int64(status.modified_seconds) : 0
    }

    func touch() { _ = marker.touch() }
}

/// Small files that are whole or absent.
enum SmallFile {
    /// Written aside, synced, renamed.
    static func write(_ data: Data, to path: InnerPath) throws(ChunkStoreError) {
        let aside = path.appending(".new")
        // Left by a crash.
        _ = aside.unlink()
        let fd = aside.create(mode: 0o644)
        if fd < 0 { throw .from(Int(fd), "create", "\(aside)") }
        defer { close(fd) }
        var result = data.withUnsafeBytes { mc_pwrite_all(fd, $0.baseAddress, $0.count, 0) }
        if result == 0 { result = mc_fdatasync(fd) }
        if result < 0 {
            _ = aside.unlink()
            throw .from(Int(result), "write", "\(aside)")
        }
        result = aside.rename(to: path)
        if result < 0 { throw .from(Int(result), "rename to", "\(path)") }
    }

    static func read(_ path: InnerPath) throws(ChunkStoreError) -> Data {
        let fd = path.open(writing: false)
        if fd < 0 { throw .from(Int(fd), "open", "\(path)") }
        defer { close(fd) }
        var status = mc_stat()
        _ = mc_stat_descriptor(fd, &status)
        if status.bytes > 256 << 20 { throw .corrupt(path: "\(path)", why: "it is far too large") }
        var data = Data(count: Int(status.bytes))
        let got = data.withUnsafeMutableBytes { mc_pread_all(fd, $0.baseAddress, $0.count, 0) }
        if got < 0 { throw .from(got, "read", "\(path)") }
        return data.prefix(got)
    }
}
