import AgentWire
import ChunkStore
import Foundation
import Testing

@Suite struct PresenceFileTests {
    @Test func thePresenceFilesBytesAreTheseForEver() throws {
        let scratch = Scratch()
        let m = try Manifest(
            identity: identity, files: [ManifestFile(key: "a.gguf", size: 7, etag: "E", checksums: .init(crc64: 42))], chunkBytes: 4 << 20)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let model = try root.open(m)
        try fill(model.files[0], 0, from: Array("abcdefg".utf8), pool: StagingPool(limitBytes: 0))
        model.files[0].fail(reason: "out")

        var expected = [UInt8](repeating: 0, count: Golden.presenceBytes)
        for (offset, hex) in Golden.presence {
            for (i, start) in stride(from: 0, to: hex.count, by: 2).enumerated() {
                expected[offset + i] = try #require(UInt8(hex.dropFirst(start).prefix(2), radix: 16))
            }
        }
        var got = try read(model.directory + "/.presence/a.gguf")
        #expect(got[96..<104].contains { $0 != 0 }, "the agent's beat")
        let inode = try FileManager.default.attributesOfItem(atPath: model.directory + "/.partial/a.gguf")[.systemFileNumber] as? UInt64
        #expect(got[120..<128].reversed().reduce(0) { $0 << 8 | UInt64($1) } == inode)
        for i in Array(96..<104) + Array(120..<128) where i < got.count { got[i] = 0 }
        #expect(got == expected)
    }

    @Test(arguments: ["as it was", "taken over in part"])
    func `chunks that an older release received are taken over`(_ crash: String) throws {
        let scratch = Scratch()
        let bytes = pattern(5 << 20)
        let m = try manifest([("x", bytes)])
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            try fill(try root.open(m).files[0], 1, from: bytes, pool: StagingPool(limitBytes: 2 << 20))
        }
        let url = URL(fileURLWithPath: scratch.model + "/.presence/x")
        var presence = try Data(contentsOf: url)
        presence[8] = 1
        if crash == "as it was" { presence.replaceSubrange(80..<96, with: m.generation.bytes) }
        try presence.write(to: url)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let file = try root.open(m).files[0]
        #expect(file.receivedChunks == 1 && file.isReceived(1))
        #expect(try Data(contentsOf: url)[8] == 2)
    }

    @Test func aLongMessageIsCutAtACharacterAndStaysOneLine() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let file = try root.open(try manifest([("x", pattern(10))])).files[0]
        // 271 bytes fit; the 91st character of three bytes would be cut.
        file.fail(reason: "a\n" + String(repeating: "模", count: 200))
        #expect(file.message == "a " + String(repeating: "模", count: 89))
    }

    @Test(arguments: [0, 1, 8, 12, 24, 40, 60, 85])
    func aDamagedHeaderMeansTheFileIsFilledAgainNeverBelieved(_ offset: Int) async throws {
        let scratch = Scratch()
        let bytes = pattern(3 << 20)
        let m = try manifest([("x", bytes)])
        let pool = StagingPool(limitBytes: 2 << 20)
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try root.open(m).files[0]
            try fillAll(file, from: bytes, pool: pool)
            #expect(try file.complete() == .published(.verified))
        }
        let url = URL(fileURLWithPath: scratch.model + "/.presence/x")
        var presence = try Data(contentsOf: url)
        presence[offset] ^= 0x40
        try presence.write(to: url)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let model = try root.open(m)
        await model.checked()
        let file = model.files[0]
        if offset == 40 {
            // `state` alone is not what is believed: the plain name is.
            #expect(file.state == .complete)
        } else {
            #expect(file.receivedChunks == 0 && file.state == .filling && !exists(scratch.model + "/x"))
            try fillAll(file, from: bytes, pool: pool)
            #expect(try file.complete() == .published(.verified))
        }
    }
}
