import Checksum
import ChunkStore
import Foundation
import Testing

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

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

let identity = SourceIdentity(endpoint: "https://oss.example", bucket: "b", prefix: "models/Gemma/")

func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var random = SplitMix(state: seed)
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
