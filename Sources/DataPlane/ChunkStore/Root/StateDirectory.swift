internal import AgentWire
internal import FoundationEssentials
internal import Glibc
internal import LinuxShim

/// `.modelcache/` of a model's directory: marker, manifest, pin.
struct StateDirectory: Sendable {
    /// The model's directory.
    let directory: String

    var path: InnerPath { InnerPath(directory, MC_STATE_DIRECTORY) }
    var marker: InnerPath { path.appending("/marker") }
    var manifest: InnerPath { path.appending("/manifest.json") }
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

    /// Removes the remains of a start that died before the marker: nothing but empty directories of our names and
    /// perhaps half a marker. Anything else that is there stays, and then the directory does.
    func clearBeginnings() {
        _ = marker.appending(".new").unlink()
        for name in [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY, MC_STATE_DIRECTORY] {
            _ = InnerPath(directory, name).removeDirectory()
        }
    }

    /// The marker first: what has it can be removed by the next start, however little of the rest there is.
    func mark() throws(ChunkStoreError) {
        try path.makeDirectory()
        try SmallFile.write(Data(StateDirectory.markerText.utf8), to: marker)
    }

    /// The commit of an update: written aside, synced, renamed, and the name synced.
    func replaceManifest(_ manifest: Manifest) throws(ChunkStoreError) {
        try SmallFile.write(try manifest.encoded(), to: self.manifest)
        _ = mc_sync_directory("\(path)")
    }

    private var staging: InnerPath { InnerPath(directory, FilePaths.stagingDirectory) }

    func makeStaging() throws(ChunkStoreError) {
        try staging.removeAll()
        try staging.makeDirectory()
    }

    func clearStaged() { try? staging.removeAll() }

    /// Removes the remains of an update that a crash cut off: files made aside, and names of files that went with the
    /// set.
    ///
    /// Errors: `.io`.
    func clearRemains(of manifest: Manifest) throws(ChunkStoreError) {
        clearStaged()
        let keys = Set(manifest.files.map(\.key))
        for key in manifest.retired where !keys.contains(key) {
            try FilePaths(directory: directory, key: key).removeAll()
        }
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

    /// Pinned when it cannot be told: a pinned model must not be evicted for want of a descriptor.
    var isPinned: Bool { (try? pin.exists()) ?? true }

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
        let known = mc_stat_descriptor(fd, &status)
        if known < 0 { throw .from(Int(known), "look at", "\(path)") }
        if status.bytes > 256 << 20 { throw .corrupt(path: "\(path)", why: "it is far too large") }
        var data = Data(count: Int(status.bytes))
        let got = data.withUnsafeMutableBytes { mc_pread_all(fd, $0.baseAddress, $0.count, 0) }
        if got < 0 { throw .from(got, "read", "\(path)") }
        return data.prefix(got)
    }
}
