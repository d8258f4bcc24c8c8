internal import ChunkStore
internal import Foundation
internal import Glibc
internal import LinuxShim

/// The preload library, which the agent keeps in every ModelCache's directory: a pod that mounts the directory has what
/// `LD_PRELOAD` names, and nothing need be in the pod's image.
///
/// Read once, at the agent's start: what lies in the directories is of this agent's own release.
struct PreloadLibrary: Sendable {
    /// Below a cache's directory.
    static let place = ".modelcache/lib/libossc_preload.so"
    /// `MODELCACHE_PRELOAD_LIBRARY` names another file.
    static let setting = "MODELCACHE_PRELOAD_LIBRARY"
    /// Ours has 100 KB; what is much larger is something else.
    private static let maximumBytes = 16 << 20

    private let bytes: Data

    /// The library beside the agent's program, or in `lib` beside the program's folder; nil when there is none.
    init?(environment: [String: String] = ProcessInfo.processInfo.environment) {
        let candidates: [String]
        if let named = environment[Self.setting], !named.isEmpty {
            candidates = [named]
        } else {
            guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else {
                return nil
            }
            let folder = (program as NSString).deletingLastPathComponent as NSString
            candidates = [
                (folder.deletingLastPathComponent as NSString).appendingPathComponent("lib/libossc_preload.so"),
                folder.appendingPathComponent("libossc_preload.so"),
            ]
        }
        for path in candidates {
            guard let bytes = FileManager.default.contents(atPath: path), bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46]),
                bytes.count <= Self.maximumBytes
            else { continue }
            self.bytes = bytes
            return
        }
        return nil
    }

    /// Puts it into a cache's directory unless it is there. Programs that have another one mapped keep that one.
    ///
    /// Errors: `.io`, `.mediumFull`.
    func place(in directory: String) throws(ChunkStoreError) {
        let file = InnerPath(directory, Self.place)
        if holds(file) { return }
        try InnerPath(directory, (Self.place as NSString).deletingLastPathComponent).makeDirectory()
        let aside = file.appending(".new")
        _ = aside.unlink()
        let descriptor = aside.create(mode: 0o644)
        guard descriptor >= 0 else { throw Self.failed("create", aside, descriptor) }
        defer { close(descriptor) }
        let result = bytes.withUnsafeBytes { mc_pwrite_all(descriptor, $0.baseAddress, $0.count, 0) }
        guard result >= 0 else {
            _ = aside.unlink()
            throw Self.failed("write", aside, Int32(clamping: result))
        }
        // Other users read the library, so its mode must not depend on the umask.
        fchmod(descriptor, 0o644)
        let renamed = aside.rename(to: file)
        guard renamed >= 0 else { throw Self.failed("rename to", file, renamed) }
    }

    private func holds(_ file: InnerPath) -> Bool {
        let descriptor = file.open(writing: false)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var status = mc_stat()
        guard mc_stat_descriptor(descriptor, &status) == 0, status.bytes == UInt64(bytes.count) else { return false }
        var there = Data(count: bytes.count)
        let got = there.withUnsafeMutableBytes { mc_pread_all(descriptor, $0.baseAddress, $0.count, 0) }
        return got == bytes.count && there == bytes
    }

    private static func failed(_ operation: String, _ path: InnerPath, _ result: Int32) -> ChunkStoreError {
        result == -ENOSPC
            ? .mediumFull(path: path.description) : .io(operation: operation, path: path.description, errno: -result)
    }
}
