internal import Checksum
public import FoundationEssentials
internal import TextCoding

/// The stored form: JSON with sorted keys, a version and a CRC-64 over itself (taken with the field empty). The text is
/// canonical: whatever does not encode to the very bytes it was read from is refused.
///
/// Version 1 had no numbers: its files are numbered by place, its set is the first. It is read, never written.
extension Manifest {
    private static let version = 2
    private static let oldestVersion = 1

    private struct Stored: Codable {
        var checksum: String
        var chunkBytes: UInt64
        var files: [StoredFile]
        /// Since version 2; nil for false.
        var forgotRetired: Bool?
        var generation: String
        var identity: SourceIdentity
        /// Since version 2.
        var nextIndex: UInt32?
        /// Since version 2; nil for none.
        var retired: [String]?
        var scheme: String?
        /// Since version 2.
        var set: UInt64?
        var version: Int
    }

    private struct StoredFile: Codable {
        var checksums: ObjectChecksums
        var etag: String
        /// Since version 2.
        var index: UInt32?
        var key: String
        var lastModified: Int64?
        /// Since version 2; nil for 0.
        var replacedInSet: UInt64?
        var size: UInt64
    }

    private struct Version: Codable {
        var version: Int
    }

    /// Errors: `.corrupt` if it cannot be encoded, which no manifest that was made can cause.
    public func encoded() throws(ChunkStoreError) -> Data { try encoded(version: Manifest.version) }

    private func encoded(version: Int) throws(ChunkStoreError) -> Data {
        let isNumbered = version > 1
        let files = files.map { file in
            StoredFile(
                checksums: file.checksums, etag: file.etag, index: isNumbered ? file.index : nil, key: file.key,
                lastModified: file.lastModified, replacedInSet: file.replacedInSet > 0 ? file.replacedInSet : nil,
                size: file.size)
        }
        var stored = Stored(
            checksum: "", chunkBytes: chunkBytes, files: files, forgotRetired: forgotRetired ? true : nil,
            generation: generation.description, identity: identity, nextIndex: isNumbered ? nextIndex : nil,
            retired: retired.isEmpty ? nil : retired, scheme: scheme, set: isNumbered ? set : nil, version: version)
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

    /// Errors: `.corrupt` (not ours, a wrong checksum), `.newer` (of a later release), `.badKey`, `.keyCollision`.
    public init(encoded data: Data) throws(ChunkStoreError) {
        let decoder = JSONDecoder()
        let version: Int
        let stored: Stored
        do { version = try decoder.decode(Version.self, from: data).version } catch {
            throw .corrupt(path: "manifest", why: "it is not the JSON this program writes")
        }
        if version > Manifest.version { throw .newer(path: "manifest", version: version, known: Manifest.version) }
        do { stored = try decoder.decode(Stored.self, from: data) } catch {
            throw .corrupt(path: "manifest", why: "it is not the JSON this program writes")
        }
        try self.init(version: version, stored: stored)
        if try encoded(version: version) != data { throw .corrupt(path: "manifest", why: "its checksum is wrong") }
    }

    private init(version: Int, stored: Stored) throws(ChunkStoreError) {
        guard version >= Manifest.oldestVersion else {
            throw .corrupt(path: "manifest", why: "its version is \(version)")
        }
        var files: [ManifestFile] = []
        for entry in stored.files {
            var file = ManifestFile(
                key: entry.key, size: entry.size, etag: entry.etag, checksums: entry.checksums,
                lastModified: entry.lastModified)
            if version > 1 {
                guard let index = entry.index else { throw .corrupt(path: "manifest", why: "a file has no number") }
                file.index = index
                file.replacedInSet = entry.replacedInSet ?? 0
            }
            files.append(file)
        }
        if version == 1 {
            try self.init(identity: stored.identity, files: files, chunkBytes: stored.chunkBytes, scheme: stored.scheme)
            return
        }
        guard let set = stored.set, let next = stored.nextIndex else {
            throw .corrupt(path: "manifest", why: "its set has no number")
        }
        try self.init(
            identity: stored.identity, numbered: files, chunkBytes: stored.chunkBytes, scheme: stored.scheme, set: set,
            nextIndex: next,
            retired: stored.retired ?? [], forgotRetired: stored.forgotRetired ?? false)
    }
}
