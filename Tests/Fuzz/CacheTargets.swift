import AgentWire
import Checksum
import ChunkStore
import Foundation
import Glibc
import Logging
import Models
import TextCoding
import Transfer

/// What lies in a cache's directory, where a pod may write, and beside it; and what model files say of themselves.
let cacheTargets: [Target] = [
    Target(name: "presence-reader") { bytes in
        // Size and inode of the data file, then the presence file, which is mapped by whole pages.
        guard bytes.count >= 16 + Int(MC_PRESENCE_HEADER_BYTES) else { return }
        let fileBytes = little(bytes[0..<8]), inode = little(bytes[8..<16])
        let presence = Array(bytes[16...])
        let facts = presence.withUnsafeBytes { raw in
            // A header is aligned as a mapping is.
            let copy = UnsafeMutableRawPointer.allocate(byteCount: raw.count, alignment: 4096)
            defer { copy.deallocate() }
            copy.copyMemory(from: raw.baseAddress ?? UnsafeRawPointer(copy), byteCount: raw.count)
            return PresenceFacts(
                copy.assumingMemoryBound(to: mc_presence_header.self), size: UInt64(raw.count), fileBytes: fileBytes,
                inode: inode, pageBytes: 4096)
        }
        guard let facts else { return }
        let last = facts.chunkCount - 1
        precondition(last * facts.chunkBytes < fileBytes, "a chunk beyond the file")
        precondition(facts.chunkCount * facts.chunkBytes >= fileBytes, "a byte of no chunk")
        precondition(facts.visibleOffset + last / 64 * 8 + 8 <= UInt64(presence.count), "a bit beyond the mapping")
    },
    Target(name: "presence-agent") { TakenUpCache.shared.takeUp(edits: $0) },
    Target(name: "manifest") { bytes in
        for data in [Data(bytes), sealed(Data(bytes))] {
            guard let data, let manifest = try? Manifest(encoded: data) else { continue }
            precondition(manifest.files.allSatisfy { !$0.key.isEmpty }, "a file without a key")
            precondition((try? manifest.encoded()) != nil, "a manifest that cannot be written")
            // As a presence file counts them, and as the next listing numbers them: a sum that overflows traps.
            _ = manifest.files.map { ($0.size + manifest.chunkBytes - 1) / manifest.chunkBytes }
            precondition(manifest.set + 1 > manifest.set, "a set without a next one")
            guard let empty = try? Manifest(identity: manifest.identity, files: []) else { continue }
            precondition(manifest.change(to: empty).retired.count == manifest.files.count, "a file that stays")
        }
    },
    Target(name: "stored-definition") { bytes in
        guard let stored = StoredDefinition(Data(bytes), uid: "u") else { return }
        let again = (try? stored.encoded()).flatMap { StoredDefinition($0, uid: "u") }
        precondition(again == stored, "a definition that does not survive its own encoding")
        precondition(StoredDefinition(Data(bytes), uid: "v") == nil, "a definition of another cache")
        _ = try? DefinitionRules().check(stored.definition)
    },
    Target(name: "prepare-order") { bytes in
        guard let definition = try? DefinitionRules().decode(Data(bytes)) else { return }
        precondition((0...(1 << 50)).contains(definition.sizeBytes), "a size out of bounds")
        let again = (try? JSONEncoder().encode(definition)).flatMap { try? DefinitionRules().decode($0) }
        precondition(again == definition, "a definition that its own rules refuse when written")
    },
    Target(name: "authorizations") { bytes in
        guard var known = Authorizations(encoded: Data(bytes)) else { return }
        precondition(known.count <= Authorizations.limit, "more callers than the limit")
        precondition(Authorizations(encoded: known.encoded) == known, "authorizations lost by encoding")
        _ = known.judged([1, 2, 3], .allowed)
        precondition(known.verdict([1, 2, 3]) == .allowed, "a verdict that is not remembered")
        precondition(known.count <= Authorizations.limit, "more callers than the limit after a verdict")
    },
    Target(name: "gguf-directory") { bytes in
        guard bytes.count >= 8 else { return }
        let size = little(bytes[0..<7])
        gguf(Array(bytes[8...]), cut: Int(bytes[7]), fileBytes: size)
    },
]

/// The same manifest with the checksum and the generation that it must have, as a pod could write it.
private func sealed(_ data: Data) -> Data? {
    struct Shape: Decodable {
        struct File: Decodable {
            let key: String
            let size: UInt64
            let etag: String
        }
        let identity: SourceIdentity
        let files: [File]
        let chunkBytes: UInt64
    }
    guard let shape = try? JSONDecoder().decode(Shape.self, from: data),
        let like = try? Manifest(
            identity: shape.identity,
            files: shape.files.map { ManifestFile(key: $0.key, size: $0.size, etag: $0.etag) },
            chunkBytes: shape.chunkBytes),
        var members = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
    else { return nil }
    func written() -> Data? {
        try? JSONSerialization.data(withJSONObject: members, options: [.sortedKeys, .withoutEscapingSlashes])
    }
    members["generation"] = like.generation.description
    members["checksum"] = ""
    guard let body = written() else { return nil }
    members["checksum"] = Hex.encode(body.withUnsafeBytes { mc_crc64(0, $0.baseAddress, $0.count) })
    return written()
}

func little(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}

/// Of a file's first bytes, a directory lies within the file; more of the file changes nothing that was known.
private func gguf(_ bytes: [UInt8], cut: Int, fileBytes: UInt64) {
    func read(_ bytes: ArraySlice<UInt8>) -> GGUFDirectory.Reading {
        bytes.withUnsafeBytes { GGUFDirectory.read($0, fileBytes: fileBytes) }
    }
    guard fileBytes >= UInt64(bytes.count) else { return }
    let whole = read(bytes[...])
    switch read(bytes[..<(bytes.isEmpty ? 0 : cut * bytes.count / 256)]) {
    case .needs(let needed):
        precondition(needed > UInt64(cut * bytes.count / 256) && needed <= fileBytes, "bytes needed that are there")
    case let known: precondition(known == whole, "more bytes changed what a directory says")
    }
    guard case .directory(let directory) = whole else { return }
    var end = directory.dataStart
    for tensor in directory.tensors {
        precondition(tensor.range.lowerBound >= end && tensor.range.upperBound <= fileBytes, "a tensor out of place")
        end = tensor.range.upperBound
    }
    let layout = FileLayout(directory)
    let chunkBytes: UInt64 = 2 << 20
    let chunks = Int(min((fileBytes + chunkBytes - 1) / chunkBytes, 1 << 16))
    precondition(layout.uses(chunkCount: chunks, chunkBytes: chunkBytes).count == chunks, "a chunk without a use")
    var index = ExpertIndex()
    index.add(layout, file: 0)
    for experts in layout.experts {
        for offset in [experts.range.lowerBound, experts.range.upperBound - 1] {
            let slices = index.slices(ofFile: 0, at: offset)
            precondition(!slices.isEmpty, "an expert of no slice")
            precondition(slices.allSatisfy { $0.range.upperBound <= fileBytes }, "a slice beyond the file")
        }
    }
}

/// A cache of one file of three chunks that an agent left, with other bytes in its presence file, and the next agent.
private final class TakenUpCache: @unchecked Sendable {
    // One thread uses it: libFuzzer's.
    static let shared = TakenUpCache()

    private let root: String
    private let model: String
    private let manifest: Manifest
    private let presence: [UInt8]
    private let chunkBytes: UInt64 = 2 << 20
    private let fileBytes: UInt64 = 5 << 20
    private let checksums: [UInt64]

    private init() {
        var template = Array("\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/fuzz-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { fatalError("no folder") }
        root = String(cString: made)
        do {
            manifest = try Manifest(
                identity: SourceIdentity(endpoint: "https://store.example", bucket: "b", prefix: "m/"),
                files: [ManifestFile(key: "a.bin", size: fileBytes, etag: "e")], chunkBytes: chunkBytes)
            let directory = try TakenUpCache.directory(root)
            model = try directory.open(manifest).directory
            directory.close()
        } catch { fatalError("\(error)") }
        // The data file is a hole: its bytes are zeros.
        let zeros = [UInt8](repeating: 0, count: Int(chunkBytes))
        checksums = [chunkBytes, chunkBytes, 1 << 20].map { mc_crc64(0, zeros, Int($0)) }
        var presence = [UInt8](FileManager.default.contents(atPath: "\(model)/.presence/a.bin") ?? Data())
        let received = MemoryLayout<mc_presence_header>.offset(of: \.received_offset).map { at in
            Int(little(presence[at..<at + 8]))
        }
        // Two of the three chunks are there.
        presence[received ?? 0] = 0b101
        for (chunk, checksum) in checksums.enumerated() {
            for byte in 0..<8 {
                presence[presence.count - 24 + chunk * 8 + byte] = UInt8(checksum >> (8 * byte) & 0xff)
            }
        }
        self.presence = presence
    }

    private static func directory(_ root: String) throws(ChunkStoreError) -> CacheDirectory {
        try CacheDirectory(
            root: root, .models, medium: MediumOptions(preference: .directory),
            logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Each edit has three bytes: a place, and what stands there.
    func takeUp(edits: [UInt8]) {
        var bytes = presence
        for edit in stride(from: 0, to: edits.count - edits.count % 3, by: 3) {
            bytes[(Int(edits[edit]) | Int(edits[edit + 1]) << 8) % bytes.count] = edits[edit + 2]
        }
        // In place: the file's inode is the cache's own.
        let file = open("\(model)/.presence/a.bin", O_WRONLY | O_CREAT, 0o644)
        precondition(
            file >= 0 && pwrite(file, bytes, bytes.count, 0) == bytes.count, "the presence file is not written")
        close(file)
        guard let directory = try? TakenUpCache.directory(root) else { fatalError("the cache is not taken up") }
        defer { directory.close() }
        guard let known = try? directory.open(manifest) else { fatalError("the model is not taken up") }
        wait { await known.checked() }
        let found = known.files[0]
        precondition(found.receivedChunks <= 3 && found.receivedBytes <= fileBytes, "more than there is")
        for chunk in 0..<3 where found.isVisible(chunk) {
            precondition(found.isReceived(chunk), "a chunk that is visible and not received")
            precondition(found.checksum(of: chunk) == checksums[chunk], "a visible chunk with another checksum")
        }
    }
}
