internal import Checksum
public import FoundationEssentials

/// The stored form: JSON with sorted keys, a version and a CRC-64 over itself (taken with the field empty). The text is
/// canonical: whatever does not encode to the very bytes it was read from is refused.
extension Manifest {
    private static let version = 1

    private struct Stored: Codable {
        var checksum: String
        var chunkBytes: UInt64
        var files: [ManifestFile]
        var generation: String
        var identity: SourceIdentity
        var scheme: String?
        var version: Int
    }

    private struct Version: Codable {
        var version: Int
    }

    /// Errors: `.corrupt` if it cannot be encoded, which no manifest that was made can cause.
    public func encoded() throws(ChunkStoreError) -> Data {
        var stored = Stored(
            checksum: "", chunkBytes: chunkBytes, files: files, generation: generation.description,
            identity: identity, scheme: scheme, version: Manifest.version)
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let body = try encoder.encode(stored)
            stored.checksum = Hex.encode(body.withUnsafeBytes { mc_crc64(0, $0.baseAddress, $0.count) })
            return try encoder.encode(stored)
        } catch {
            throw .corrupt(path: "manifest", why: "it cannot be written as JSON")
        }
    }

    /// Errors: `.corrupt` (not ours, another version, a wrong checksum), `.badKey`, `.keyCollision`.
    public init(encoded data: Data) throws(ChunkStoreError) {
        let stored: Stored
        do {
            let decoder = JSONDecoder()
            let version = try decoder.decode(Version.self, from: data).version
            if version != Manifest.version {
                throw ChunkStoreError.corrupt(path: "manifest", why: "its version is \(version), this program knows \(Manifest.version)")
            }
            stored = try decoder.decode(Stored.self, from: data)
        } catch let error as ChunkStoreError {
            throw error
        } catch {
            throw .corrupt(path: "manifest", why: "it is not the JSON this program writes")
        }
        try self.init(identity: stored.identity, files: stored.files, chunkBytes: stored.chunkBytes, scheme: stored.scheme)
        if try encoded() != data { throw .corrupt(path: "manifest", why: "its checksum is wrong") }
    }
}
