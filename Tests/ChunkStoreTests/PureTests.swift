import AgentWire
import Checksum
import ChunkStore
import Foundation
import Testing
import TextCoding

@Suite struct PureTests {
    @Test(arguments: [
        "/etc/passwd", "../x", "a/../b", "a//b", "", "a/", "./a", ".partial/x", ".presence", ".modelcache/y", "a\0b", "a\nb",
        String(repeating: "x", count: 256), "../\u{301}x", ".partial/\u{301}x", "/\u{301}x",
    ])
    func aKeyThatCouldLeaveTheDirectoryIsRefused(_ key: String) {
        #expect(throws: ChunkStoreError.self) { try Manifest(identity: identity, files: [ManifestFile(key: key, size: 1, etag: "e")]) }
    }

    @Test func `the names that keys may not have are those of the wire`() {
        #expect(KeyRules.reserved == [MC_PARTIAL_DIRECTORY, MC_PRESENCE_DIRECTORY, MC_STATE_DIRECTORY])
    }

    @Test func keysThatCannotBothBeFilesAreRefused() {
        for keys in [["a", "a/b"], ["a", "a"], ["x/y/z", "x/y"]] {
            #expect(throws: ChunkStoreError.self) {
                try Manifest(identity: identity, files: keys.map { ManifestFile(key: $0, size: 1, etag: "e") })
            }
        }
    }

    @Test func aStoredManifestComesBackAndADamagedOneIsRefused() throws {
        let m = try manifest([("模型 +%.gguf", pattern(10)), ("sub/b", pattern(5))])
        let data = try m.encoded()
        #expect(try Manifest(encoded: data) == m)
        for i in data.indices {
            var bad = data
            bad[i] ^= 1
            #expect(throws: ChunkStoreError.self) { try Manifest(encoded: bad) }
        }
    }

    /// The checksum keeps chance away, not a pod that writes to its volume.
    @Test func `a sealed manifest with numbers that overflow is refused`() throws {
        let text = String(decoding: try manifest([("a", pattern(10))]).encoded(), as: UTF8.self)
        #expect(throws: ChunkStoreError.self) {
            try Manifest(
                identity: identity, files: [ManifestFile(key: "a", size: 1, etag: "e")], chunkBytes: UInt64.max - (2 << 20) + 1)
        }
        func sealed(_ change: (String) -> String) -> Data {
            let body = change(text.replacing(#/"checksum":"[0-9a-f]*"/#, with: #""checksum":"""#))
            let checksum = Hex.encode(Array(body.utf8).withUnsafeBytes { mc_crc64(0, $0.baseAddress, $0.count) })
            return Data(body.replacing(#""checksum":"""#, with: #""checksum":"\#(checksum)""#).utf8)
        }
        _ = try Manifest(encoded: sealed { $0.replacing("\"set\":1", with: "\"set\":2") })
        for (number, huge) in [("\"set\":1", "\"set\":\(UInt64.max)"), ("\"nextIndex\":1", "\"nextIndex\":\(UInt32.max)")] {
            #expect(throws: ChunkStoreError.self) { try Manifest(encoded: sealed { $0.replacing(number, with: huge) }) }
        }
    }

    @Test func theManifestsBytesAreTheseForEver() throws {
        let m = try Manifest(identity: identity, files: [ManifestFile(key: "a.gguf", size: 7, etag: "E", checksums: .init(crc64: 42))], chunkBytes: 4 << 20)
        #expect(String(decoding: try m.encoded(), as: UTF8.self) == Golden.manifest)
    }

    @Test func `a manifest of version 1 is read, its files numbered by place`() throws {
        let m = try Manifest(identity: identity, files: [ManifestFile(key: "a.gguf", size: 7, etag: "E", checksums: .init(crc64: 42))], chunkBytes: 4 << 20)
        #expect(try Manifest(encoded: Data(Golden.manifestOfVersion1.utf8)) == m)
        for bad in [Golden.manifestOfVersion1.replacing("\"size\":7", with: "\"size\":8"), Golden.manifest.replacing("\"set\":1", with: "\"set\":2")] {
            #expect(throws: ChunkStoreError.corrupt(path: "manifest", why: "its checksum is wrong")) { try Manifest(encoded: Data(bad.utf8)) }
        }
    }

    @Test func `a manifest of a later release is told from a damaged one`() {
        let later = Golden.manifest.replacing("\"version\":2", with: "\"version\":3")
        #expect(throws: ChunkStoreError.newer(path: "manifest", version: 3, known: 2)) { try Manifest(encoded: Data(later.utf8)) }
    }

    @Test func theLeastRecentlyUsedGoesFirstAndNoMoreThanNeeded() throws {
        let policy = EvictionPolicy(budgetBytes: 100, expireSeconds: 10)
        let models = [
            ModelUsage(id: "used", bytes: 20, lastUsed: 0, inUse: 1, pinned: false),
            ModelUsage(id: "pinned", bytes: 20, lastUsed: 0, inUse: 0, pinned: true),
            ModelUsage(id: "new", bytes: 20, lastUsed: 9, inUse: 0, pinned: false),
            ModelUsage(id: "old", bytes: 20, lastUsed: 1, inUse: 0, pinned: false),
        ]
        #expect(try policy.admit(bytes: 20, among: models) == [])
        #expect(try policy.admit(bytes: 21, among: models) == ["old"])
        #expect(try policy.admit(bytes: 60, among: models) == ["old", "new"])
        #expect {
            try policy.admit(bytes: 65, among: models)
        } throws: { error in
            guard case .capacity(let s)? = error as? ChunkStoreError else { return false }
            return s.missingBytes == 5 && s.holders.map(\.id) == ["pinned", "used"]
        }
        #expect(policy.expired(among: models, now: 11) == ["old"])
    }
}
