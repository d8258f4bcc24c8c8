import Checksum
import ChunkStore
import Crypto
import Foundation
import Testing

@Suite struct VerificationTests {
    let bytes = pattern((5 << 20) + 11, seed: 3)
    let pool = StagingPool(limitBytes: 4 << 20)

    private func file(
        _ root: CacheDirectory, _ checksums: ObjectChecksums, size: Int? = nil
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
            (.init(md5: String(repeating: "0", count: 32)), "entity tag"),
            (.init(sha256: SHA256.hash(data: bytes).map { String(format: "%02x", $0) }.joined(), md5: "0"), nil),
            (.init(sha256: "00", crc32: mc_crc32(0, bytes, bytes.count)), "SHA-256"),
            (.init(sha1: Insecure.SHA1.hash(data: bytes).map { String(format: "%02x", $0) }.joined()), nil),
            (.init(sha1: "00"), "SHA-1"),
            (.init(crc32c: mc_crc32c(0, bytes, bytes.count), crc32: 1), nil),
            (.init(crc32c: 1), "CRC-32C"),
            (.init(crc32: mc_crc32(0, bytes, bytes.count)), nil),
            (.init(crc32: 1, md5: md5), "CRC-32"),
            // The first that is there decides.
            (.init(crc64: 1, crc64nvme: nvme, md5: md5), "CRC-64"),
            (.init(crc64: crc(bytes), crc64nvme: 1, md5: "0"), nil),
        ]
        for (checksums, complaint) in cases {
            let scratch = Scratch()
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, checksums)
            try fillAll(file, from: bytes, pool: pool)
            switch (try file.complete(), complaint) {
            case (.published(.verified), nil): #expect(exists(scratch.model + "/x"))
            case (.doubted(let reason), "entity tag"?):
                #expect(reason.hasPrefix("x: its entity tag is ") && !exists(scratch.model + "/x"))
            case (.refill(let reason), let complaint?):
                #expect(reason.hasPrefix("x: its \(complaint) is ") && !exists(scratch.model + "/x"))
            case (let other, _): Issue.record("\(other) for \(checksums)")
            }
        }
    }

    @Test(arguments: [PartDigest.Kind.sha256, .sha1]) func `parts are held against the digest of their digests`(kind: PartDigest.Kind) throws {
        let sizes = [2_000_003, 2_000_003, bytes.count - 4_000_006]
        var digests: [UInt8] = []
        var offset = 0
        for size in sizes {
            let part = bytes[offset..<offset + size]
            digests += kind == .sha256 ? Array(SHA256.hash(data: part)) : Array(Insecure.SHA1.hash(data: part))
            offset += size
        }
        let whole = kind == .sha256 ? Array(SHA256.hash(data: digests)) : Array(Insecure.SHA1.hash(data: digests))
        let digest = whole.map { String(format: "%02x", $0) }.joined()
        func verified(_ digest: String, _ sizes: [Int]) throws -> Verification {
            let scratch = Scratch()
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, .init(md5: "0", parts: PartDigest(kind: kind, digest: digest, sizes: sizes.map(UInt64.init))))
            try fillAll(file, from: bytes, pool: pool)
            return try file.verify()
        }
        #expect(PartDigest(kind: kind, digest: digest, sizes: sizes.map(UInt64.init)).runs.map(\.count) == [2, 1])
        #expect(try verified(digest, sizes) == .verified)
        if case .mismatch = try verified(String(digest.reversed()), sizes) {} else { Issue.record("another digest") }
        // Sizes that are not the file's prove nothing, whatever a manifest says.
        for wrong in [[], [5], [bytes.count, 1], [0, bytes.count], [bytes.count + 1]] {
            #expect(try verified(digest, wrong) == .unverifiable)
        }
    }

    @Test func `a manifest that names more parts than an object can have proves nothing`() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        // A digest for each byte. The sum is right.
        let parts = try JSONDecoder().decode(
            PartDigest.self, from: Data(#"{"kind": "sha256", "digest": "00", "runs": [{"bytes": 1, "count": \#(bytes.count)}]}"#.utf8))
        let file = try file(root, .init(md5: "0", parts: parts))
        try fillAll(file, from: bytes, pool: pool)
        #expect(try file.verify() == .unverifiable)
    }

    @Test func theEmptyFileHasTheChecksumsOfNothing() throws {
        for checksums in [
            ObjectChecksums(crc64: 0), .init(crc64nvme: 0), .init(md5: "d41d8cd98f00b204e9800998ecf8427e"),
        ] {
            let scratch = Scratch()
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, checksums, size: 0)
            #expect(file.chunkCount == 0)
            #expect(try file.complete() == .published(.verified))
        }
    }

    @Test func `an empty file has nothing to fetch again`() throws {
        let wrong = String(repeating: "0", count: 32)
        for (checksums, completion) in [
            (ObjectChecksums(md5: wrong), Completion.published(.unverifiable)),
            (.init(crc64: 5), .failed("x: its CRC-64 is 0000000000000000, the store says 0000000000000005")),
        ] {
            let scratch = Scratch()
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            #expect(try file(root, checksums, size: 0).complete() == completion)
        }
    }

    @Test func aChecksumLearntLateIsUsed() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
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
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            let file = try file(root, checksums)
            var wrong = bytes
            wrong[(4 << 20) + 5] ^= 0x10
            try fillAll(file, from: wrong, pool: pool)
            switch (try file.complete(), checksums.md5) {
            case (.refill, nil), (.doubted, _?): break
            case (let other, _): Issue.record("\(other)")
            }
            #expect(file.missingChunks() == [0, 1, 2])
            try fillAll(file, from: bytes, pool: pool)
            #expect(try file.complete() == .published(.verified))
            #expect(file.epoch == 2)
        }
    }

    @Test func `two downloads that agree prove an entity tag wrong, and no reader is ended`() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let file = try file(root, .init(md5: String(repeating: "0", count: 32)))
        try fillAll(file, from: bytes, pool: pool)
        if case .doubted = try file.complete() {} else { Issue.record("one download proves nothing") }
        #expect(file.epoch == 1 && (0..<3).allSatisfy { file.isVisible($0) && !file.isReceived($0) })
        try fillAll(file, from: bytes, pool: pool)
        #expect(try file.complete() == .published(.unverifiable))
        #expect(file.epoch == 1)
        #expect(try read(scratch.model + "/x") == bytes)
        #expect(try file.complete() == .published(.unverifiable), "again on a complete file")
        #expect(file.unverifiableReason == "its entity tag is not its MD5")
        // It is not read again for that: there is nothing left to read.
        #expect(truncate(scratch.model + "/.partial/x", 0) == 0)
        #expect(try file.complete() == .published(.unverifiable))
    }

    @Test func `two downloads that differ from each other end the readers, three wrong ones the file`() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let file = try file(root, .init(md5: md5))
        for (round, epoch) in [(0, 1), (1, 2), (2, 3)] as [(Int, UInt32)] {
            var wrong = bytes
            wrong[round] ^= 1
            try fillAll(file, from: wrong, pool: pool)
            switch (round, try file.complete()) {
            case (0, .doubted), (1, .refill), (2, .failed): break
            case (_, let other): Issue.record("round \(round): \(other)")
            }
            #expect(file.epoch == epoch)
        }
    }

    @Test func inStrictModeNothingShowsBeforeTheCheckAndAllAfter() async throws {
        let scratch = Scratch()
        do {
            let root = try CacheDirectory(root: scratch.path, .models, visibility: .strict)
            defer { root.close() }
            let file = try file(root, .init(crc64: crc(bytes)))
            try fillAll(file, from: bytes, pool: pool)
            #expect((0..<3).allSatisfy { file.isReceived($0) && !file.isVisible($0) })
        }
        // Neither does a restart show what was not checked.
        let root = try CacheDirectory(root: scratch.path, .models, visibility: .strict)
        defer { root.close() }
        let model = try #require(root.model(for: identity))
        await model.checked()
        let file = model.files[0]
        #expect((0..<3).allSatisfy { file.isReceived($0) && !file.isVisible($0) })
        file.learn(.init(crc64: crc(bytes)))
        #expect(try file.complete() == .published(.verified))
        #expect((0..<3).allSatisfy { file.isVisible($0) })
        #expect(try read(model.directory + "/x") == bytes)
    }
}
