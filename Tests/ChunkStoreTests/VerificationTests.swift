import Checksum
import ChunkStore
import Crypto
import Foundation
import Testing

@Suite struct VerificationTests {
    let bytes = pattern((5 << 20) + 11, seed: 3)
    let pool = StagingPool(limitBytes: 4 << 20)

    private func file(
        _ root: CacheRoot, _ checksums: ObjectChecksums, size: Int? = nil
    ) throws -> CachedFile {
        let entry = ManifestFile(key: "x", size: UInt64(size ?? bytes.count), etag: "e", checksums: checksums)
        return try root.open(try Manifest(identity: identity, files: [entry], chunkBytes: 2 << 20)).files[0]
    }

    private var md5: String { Insecure.MD5.hash(data: bytes).map { String(format: "%02x", $0) }.joined() }

    @Test func aFileIsHeldAgainstEveryKindOfChecksum() throws {
        let nvme = mc_crc64nvme(0, bytes, bytes.count)
        let cases: [(ObjectChecksums, String?)] = [
            (.init(crc64nvme: nvme), nil),
            (.init(md5: md5), nil),
            (.init(md5: md5.uppercased()), nil),
            (.init(crc64nvme: nvme ^ 1), "CRC-64/NVME"),
            (.init(md5: String(repeating: "0", count: 32)), "MD5"),
            // The first that is there decides.
            (.init(crc64: 1, crc64nvme: nvme, md5: md5), "CRC-64"),
            (.init(crc64: crc(bytes), crc64nvme: 1, md5: "0"), nil),
        ]
        for (checksums, complaint) in cases {
            let scratch = Scratch()
            let root = try CacheRoot(path: scratch.path, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, checksums)
            try fillAll(file, from: bytes, pool: pool)
            switch (try file.complete(), complaint) {
            case (.published(.verified), nil): #expect(exists(scratch.model + "/x"))
            case (.refill(let reason), let complaint?):
                #expect(reason.hasPrefix("x: its \(complaint) is ") && !exists(scratch.model + "/x"))
            case (let other, _): Issue.record("\(other) for \(checksums)")
            }
        }
    }

    @Test func theEmptyFileHasTheChecksumsOfNothing() throws {
        for checksums in [
            ObjectChecksums(crc64: 0), .init(crc64nvme: 0), .init(md5: "d41d8cd98f00b204e9800998ecf8427e"),
        ] {
            let scratch = Scratch()
            let root = try CacheRoot(path: scratch.path, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, checksums, size: 0)
            #expect(file.chunkCount == 0)
            #expect(try file.complete() == .published(.verified))
        }
    }

    @Test func aChecksumLearntLateIsUsed() throws {
        let scratch = Scratch()
        let root = try CacheRoot(path: scratch.path, medium: .init(preference: .directory))
        defer { root.close() }
        let file = try file(root, .init())
        try fillAll(file, from: bytes, pool: pool)
        #expect(try file.verify() == .unverifiable)
        file.learn(.init(crc64: 5))
        if case .mismatch = try file.verify() {} else { Issue.record("a wrong checksum was not used") }
        #expect(file.epoch == 1 && file.receivedChunks == file.chunkCount, "verify alone has no consequences")
        file.learn(.init(crc64: crc(bytes)))
        file.learn(.init())
        #expect(try file.complete() == .published(.verified))
    }

    @Test func aWrongByteInTheFileIsFoundByTheKindsThatReadIt() throws {
        for checksums in [ObjectChecksums(crc64nvme: mc_crc64nvme(0, bytes, bytes.count)), .init(md5: md5)] {
            let scratch = Scratch()
            let root = try CacheRoot(path: scratch.path, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, checksums)
            var wrong = bytes
            wrong[(4 << 20) + 5] ^= 0x10
            try fillAll(file, from: wrong, pool: pool)
            if case .refill = try file.complete() {} else { Issue.record("not found") }
            #expect(file.missingChunks() == [0, 1, 2])
            try fillAll(file, from: bytes, pool: pool)
            #expect(try file.complete() == .published(.verified))
            #expect(file.epoch == 2)
        }
    }

    @Test func inStrictModeNothingShowsBeforeTheCheckAndAllAfter() throws {
        let scratch = Scratch()
        do {
            let root = try CacheRoot(path: scratch.path, visibility: .strict)
            defer { root.close() }
            let file = try file(root, .init(crc64: crc(bytes)))
            try fillAll(file, from: bytes, pool: pool)
            #expect((0..<3).allSatisfy { file.isReceived($0) && !file.isVisible($0) })
        }
        // Neither does a restart show what was not checked.
        let root = try CacheRoot(path: scratch.path, visibility: .strict)
        defer { root.close() }
        let model = try #require(root.model(for: identity))
        let file = model.files[0]
        #expect((0..<3).allSatisfy { file.isReceived($0) && !file.isVisible($0) })
        file.learn(.init(crc64: crc(bytes)))
        #expect(try file.complete() == .published(.verified))
        #expect((0..<3).allSatisfy { file.isVisible($0) })
        #expect(try read(model.directory + "/x") == bytes)
    }
}
