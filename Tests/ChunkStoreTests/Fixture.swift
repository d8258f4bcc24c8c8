import Checksum
import ChunkStore
import Foundation
import Synchronization
import Testing
import TestSupport


/// A root of its own under the temporary directory, gone at the end.
final class Scratch {
    let path = NSTemporaryDirectory() + "/mc-test-\(UUID().uuidString)"

    /// Where a model of the test's identity lies.
    var model: String { "\(path)/models/\(identity.directoryName)" }

    func make(_ directory: String = "") throws {
        try FileManager.default.createDirectory(atPath: path + directory, withIntermediateDirectories: true)
    }

    func write(_ text: String, to name: String) throws {
        let url = URL(fileURLWithPath: path + name)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    deinit {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path + "/models")) ?? [] {
            umount2(path + "/models/" + name, Int32(MNT_DETACH))
        }
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// A folder whose entries can be made read-only and writable again: a mount of itself, gone at the end.
final class FrozenFolder {
    private let path: String

    init(_ path: String) throws {
        self.path = path
        try #require(mount(path, path, nil, UInt(MS_BIND), nil) == 0, "this test needs to mount")
    }

    func freeze(_ frozen: Bool = true) {
        let flags = MS_BIND | MS_REMOUNT | (frozen ? MS_RDONLY : 0)
        #expect(mount(nil, path, nil, UInt(flags), nil) == 0)
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }
}

let identity = SourceIdentity(endpoint: "https://oss.example", bucket: "b", prefix: "models/Gemma/")

func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes { raw in
        for i in stride(from: 0, to: count, by: 8) {
            let word = random.next()
            for k in 0..<min(8, count - i) { raw[i + k] = UInt8(truncatingIfNeeded: word >> UInt64(8 * k)) }
        }
    }
    return bytes
}

func crc(_ bytes: [UInt8]) -> UInt64 { mc_crc64(0, bytes, bytes.count) }

func manifest(_ files: [(String, [UInt8])], wrongCRC: Bool = false) throws -> Manifest {
    try Manifest(
        identity: identity,
        files: files.map { key, bytes in
            ManifestFile(
                key: key, size: UInt64(bytes.count), etag: "e-\(key)", checksums: .init(crc64: wrongCRC ? 1 : crc(bytes)))
        },
        chunkBytes: 2 << 20)
}

extension StagingPool {
    /// One buffer at once, or nil when none is free.
    func grant() -> StagingGrant? {
        let granted = Mutex<StagingGrant?>(nil)
        let share = join { if case .granted(let grant) = $0 { granted.withLock { $0 = grant } } }
        share.update(demands: 1, prefetches: 0, demandsUnderWay: 0)
        share.leave()
        return granted.withLock { $0 }
    }
}

extension StagingPool {
    /// One buffer, waited for: another thread may have the last one, or may be about to hand one over.
    func nextGrant() -> StagingGrant {
        let granted = Mutex<StagingGrant?>(nil)
        let isHere = DispatchSemaphore(value: 0)
        let share = join { event in
            guard case .granted(let grant) = event else { return }
            granted.withLock { $0 = grant }
            isHere.signal()
        }
        share.update(demands: 1, prefetches: 0, demandsUnderWay: 0)
        defer { share.leave() }
        while true {
            isHere.wait()
            if let grant = granted.withLock({ $0.take() }) { return grant }
        }
    }
}

extension CachedFile {
    /// A writer that has waited for its buffer.
    func writer(ofChunk chunk: Int, pool: StagingPool) throws -> ChunkWriter {
        let grant = pool.nextGrant()
        let assembly = try assembleChunk(chunk, blockBytes: chunkBytes)
        return ChunkWriter(writer: try #require(assembly.writer(forBlock: 0, with: grant, isRelayed: false)))
    }

    /// A writer, or nil when no buffer is free.
    func beginChunk(_ chunk: Int, pool: StagingPool) throws(ChunkStoreError) -> ChunkWriter? {
        guard let grant = pool.grant() else { return nil }
        let assembly = try assembleChunk(chunk, blockBytes: chunkBytes)
        return assembly.writer(forBlock: 0, with: grant, isRelayed: false).map(ChunkWriter.init)
    }
}

/// Takes one chunk's bytes in order: an assembly of one block with its writer.
final class ChunkWriter: @unchecked Sendable {
    private let writer: BlockWriter

    init(writer: BlockWriter) { self.writer = writer }

    var range: Range<UInt64> { writer.range }
    var position: UInt64 { writer.position }
    var remaining: UInt64 { writer.remaining }

    func append(_ bytes: UnsafeRawBufferPointer) throws { try writer.append(bytes) }
    func withFreeSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws { try writer.withFreeSpace(body) }

    /// Whether it was the file's last missing chunk.
    func finish() throws -> Bool {
        guard remaining == 0 else {
            let got = position - range.lowerBound
            throw ChunkStoreError.wrongLength(key: "", chunk: writer.assembly.chunk, expected: got + remaining, got: got)
        }
        defer { abort() }
        return try writer.assembly.accept(block: 0, checksum: writer.checksum).isLast
    }

    func abort() {
        writer.end()
        writer.assembly.abort()
    }
}

@discardableResult
func fill(_ file: CachedFile, _ chunk: Int, from bytes: [UInt8], pool: StagingPool) throws -> Bool {
    let writer = try #require(try file.beginChunk(chunk, pool: pool))
    let range = writer.range
    try bytes[Int(range.lowerBound)..<Int(range.upperBound)].withUnsafeBytes { try writer.append($0) }
    return try writer.finish()
}

func fillAll(_ file: CachedFile, from bytes: [UInt8], pool: StagingPool) throws {
    for chunk in file.missingChunks() { try fill(file, chunk, from: bytes, pool: pool) }
}

func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }
func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

/// Received chunks, whose bytes under `.partial/` must be the object's.
func receivedAndRight(_ model: CachedModel, _ file: CachedFile, _ bytes: [UInt8]) throws -> Set<Int> {
    let there = try read("\(model.directory)/.partial/\(file.key)")
    let received = Set((0..<file.chunkCount).filter(file.isReceived))
    for chunk in received {
        let range = Int(file.range(ofChunk: chunk).lowerBound)..<Int(file.range(ofChunk: chunk).upperBound)
        #expect(there[range] == bytes[range], "chunk \(chunk) of \(file.key)")
    }
    return received
}
