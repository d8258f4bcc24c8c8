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
        files: files.map { ManifestFile(key: $0.0, size: UInt64($0.1.count), etag: "e-\($0.0)", checksums: .init(crc64: wrongCRC ? 1 : crc($0.1))) },
        chunkBytes: 2 << 20)
}

@discardableResult
func fill(_ file: CachedFile, _ chunk: Int, from bytes: [UInt8], pool: StagingPool) throws -> Bool {
    let writer = try #require(try file.beginChunk(chunk, pool: pool))
    let range = writer.range
    try bytes[Int(range.lowerBound)..<Int(range.upperBound)].withUnsafeBytes { try writer.append($0) }
    return try writer.finish()
}
