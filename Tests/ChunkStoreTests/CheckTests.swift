import ChunkStore
import Crypto
import Foundation
import TestSupport
import Testing

/// Chunks that an earlier agent received (semantics of `CachedFile+Check.swift`): no wrong byte is visible, whatever
/// happened to the files while no agent ran.
@Suite struct CheckTests {
    let pool = StagingPool(limitBytes: 8 << 20)
    let bytes = pattern((12 << 20) + 77)

    private func root(_ scratch: Scratch, _ preference: MediumOptions.Preference) throws -> CacheDirectory {
        try CacheDirectory(root: scratch.path, .models, medium: .init(preference: preference))
    }

    /// A cache with the chunks in `chunks`, published when they are all, closed.
    private func leave(
        _ scratch: Scratch, _ preference: MediumOptions.Preference, chunks: [Int], _ checksums: ObjectChecksums? = nil
    ) throws -> Manifest {
        var m = try manifest([("d/x", bytes)])
        if let checksums {
            let entry = ManifestFile(key: "d/x", size: UInt64(bytes.count), etag: "e", checksums: checksums)
            m = try Manifest(identity: identity, files: [entry], chunkBytes: 2 << 20)
        }
        let root = try root(scratch, preference)
        defer { root.close() }
        let file = try root.open(m).files[0]
        for chunk in chunks { try fill(file, chunk, from: bytes, pool: pool) }
        if chunks.count == file.chunkCount { _ = try file.complete() }
        return m
    }

    /// Every visible chunk has the object's bytes, and so has the file under its plain name.
    private func expectNoWrongByte(_ model: CachedModel, _ why: String) throws {
        let file = model.files[0]
        let visible = (0..<file.chunkCount).filter(file.isVisible)
        let there = try read(model.directory + "/.partial/d/x")
        for chunk in visible {
            let range = file.range(ofChunk: chunk)
            #expect(
                there[Int(range.lowerBound)..<Int(range.upperBound)]
                    == bytes[Int(range.lowerBound)..<Int(range.upperBound)], "\(why), chunk \(chunk)")
        }
        if let plain = try? read(model.directory + "/d/x") { #expect(plain == bytes, "\(why): the plain name") }
    }

    private func damage(_ path: String, at offset: Int) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? handle.close() }
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: [bytes[offset] ^ 0x55])
    }

    @Test func `a file whose name an error keeps visible is not taken up before the name can be taken`() async throws {
        let scratch = Scratch()
        let m = try leave(scratch, .disk, chunks: Array(0..<7))
        var frozen: FrozenFolder? = try FrozenFolder(scratch.model + "/d")
        frozen?.freeze()
        let root = try root(scratch, .disk)
        defer { root.close() }
        #expect(root.model(for: identity) == nil)
        #expect(throws: ChunkStoreError.self) { try root.open(m) }
        frozen = nil
        let model = try root.open(m)
        await model.checked()
        #expect(model.files[0].state == .complete && model.statistics.receivedBytes == UInt64(bytes.count))
        #expect(try read(model.directory + "/d/x") == bytes)
    }

    @Test(arguments: SeededRandom.seeds(24), [MediumOptions.Preference.directory, .disk])
    func `whatever bytes went bad, none is visible and the file is completed again`(
        _ seed: UInt64, _ preference: MediumOptions.Preference
    ) async throws {
        var random = SeededRandom(seed: seed)
        let scratch = Scratch()
        let chunks = random.chance(1, of: 2) ? Array(0..<7) : (0..<7).filter { _ in random.chance(2, of: 3) }
        let m = try leave(scratch, preference, chunks: chunks)
        var bad = Set<Int>()
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let offset = Int.random(in: 0..<bytes.count, using: &random)
            // Twice the same byte would mend it.
            if bad.insert(offset / (2 << 20)).inserted { try damage(scratch.model + "/.partial/d/x", at: offset) }
        }
        let root = try root(scratch, preference)
        defer { root.close() }
        let model = try root.open(m)
        let file = model.files[0]
        let done = Task { await model.checked() }
        // While the check runs, readers demand.
        for _ in 0..<20 {
            model.demandCheck(
                fileIndex: file.fileIndex, offset: UInt64.random(in: 0..<file.size, using: &random), length: 1)
            try expectNoWrongByte(model, "seed \(seed)")
        }
        await done.value
        try await eventually("seed \(seed): every chunk is checked") { !(0..<7).contains(where: file.isUnchecked) }
        let right = chunks.filter { !bad.contains($0) }
        #expect((0..<7).filter(file.isReceived) == right && (0..<7).filter(file.isVisible) == right, "seed \(seed)")
        try await eventually("seed \(seed): a file without a bad chunk has its name") {
            exists(model.directory + "/d/x") == (right.count == 7)
        }
        try expectNoWrongByte(model, "seed \(seed)")
        try fillAll(file, from: bytes, pool: pool)
        #expect(try file.complete() == .published(.verified), "seed \(seed)")
        #expect(file.epoch == 1, "seed \(seed): nobody saw a wrong byte, so nobody is stopped")
        #expect(try read(model.directory + "/d/x") == bytes)
    }

    @Test func `a lost chunk is told with its file and number`() async throws {
        let scratch = Scratch()
        let m = try leave(scratch, .directory, chunks: [0, 3])
        try damage(scratch.model + "/.partial/d/x", at: (6 << 20) + 9)
        let root = try root(scratch, .directory)
        defer { root.close() }
        let model = try root.open(m)
        let told = model.lostChunks()
        await model.checked()
        // Told before or after we listened: what is missing says the same.
        #expect(model.files[0].missingChunks() == [1, 2, 3, 4, 5, 6])
        root.close()
        for await loss in told { #expect(loss.key == "d/x" && loss.chunk == 3 && !loss.isAwaited) }
    }

    @Test func `on a tmpfs a published file that nobody wrote to keeps its name, and after a write it does not`()
        async throws
    {
        let scratch = Scratch()
        try scratch.make()
        try #require(mount("cache", scratch.path, "tmpfs", 0, nil) == 0, "this test needs to mount")
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        let m = try leave(scratch, .directory, chunks: Array(0..<7))
        do {
            let root = try root(scratch, .directory)
            defer { root.close() }
            let model = try root.open(m)
            #expect(exists(model.directory + "/d/x") && model.files[0].state == .complete)
        }
        try damage(scratch.model + "/d/x", at: 5 << 20)
        let root = try root(scratch, .directory)
        defer { root.close() }
        let model = try root.open(m)
        #expect(!exists(model.directory + "/d/x") && model.files[0].state == .filling)
        await model.checked()
        #expect(model.files[0].missingChunks() == [2] && !exists(model.directory + "/d/x"))
    }

    @Test func `on a disk a published file has no name until it is checked`() async throws {
        let scratch = Scratch()
        let m = try leave(scratch, .disk, chunks: Array(0..<7))
        let root = try root(scratch, .disk)
        defer { root.close() }
        let model = try root.open(m)
        await model.checked()
        #expect(try read(model.directory + "/d/x") == bytes && model.files[0].state == .complete)
    }

    @Test func `a file that was verified by MD5 is complete again without its digest being taken`() async throws {
        let scratch = Scratch()
        let md5 = Insecure.MD5.hash(data: bytes).map { String(format: "%02x", $0) }.joined()
        let m = try leave(scratch, .disk, chunks: Array(0..<7), .init(md5: md5))
        // Whoever takes the digest now finds that it is another.
        var entry = try #require(m.files.first)
        entry.checksums = .init(md5: String(repeating: "0", count: 32))
        let other = try Manifest(identity: identity, files: [entry], chunkBytes: 2 << 20)
        try scratch.write(
            String(decoding: try other.encoded(), as: UTF8.self),
            to: "/models/\(identity.directoryName)/.modelcache/manifest.json")
        let root = try root(scratch, .disk)
        defer { root.close() }
        let model = try root.open(m)
        await model.checked()
        #expect(model.files[0].state == .complete)
        #expect(try model.files[0].complete() == .published(.verified))
    }

    @Test func `digests of blocks are those of the bytes, for every size of block`() throws {
        let scratch = Scratch()
        let m = try leave(scratch, .directory, chunks: [2, 6])
        let root = try root(scratch, .directory)
        defer { root.close() }
        let file = try root.open(m).files[0]
        for blockBytes in [32 << 10, 64 << 10, 128 << 10, 1 << 20, 2 << 20] {
            for chunk in [2, 6] {
                let range = file.range(ofChunk: chunk)
                let expected = stride(from: Int(range.lowerBound), to: Int(range.upperBound), by: blockBytes).map {
                    crc(Array(bytes[$0..<min($0 + blockBytes, Int(range.upperBound))]))
                }
                #expect(file.check(chunk, blockBytes: UInt64(blockBytes)) == .right(expected), "\(blockBytes)")
            }
            #expect(file.check(0, blockBytes: UInt64(blockBytes)) == .absent)
        }
    }

    @Test func `a chunk that went bad under a running agent is not given to peers, and readers are stopped`() throws {
        let scratch = Scratch()
        let root = try root(scratch, .directory)
        defer { root.close() }
        let model = try root.open(try manifest([("d/x", bytes)]))
        let file = model.files[0]
        try fill(file, 1, from: bytes, pool: pool)
        try damage(model.directory + "/.partial/d/x", at: 3 << 20)
        #expect(file.check(1, blockBytes: 1 << 20) == .wrong)
        #expect(
            !file.isReceived(1) && !file.isVisible(1) && file.epoch == 2
                && file.message.contains("chunk 1 of d/x was damaged"))
    }

    @Test func `opening a model reads none of its bytes`() async throws {
        let scratch = Scratch()
        let m = try leave(scratch, .disk, chunks: [])
        // 8 TiB sparse: reading them would take hours.
        let big = try Manifest(
            identity: SourceIdentity(endpoint: "e", bucket: "b", prefix: "big/"),
            files: [ManifestFile(key: "x", size: 1 << 40, etag: "e")])
        do {
            let root = try root(scratch, .disk)
            defer { root.close() }
            let file = try root.open(big).files[0]
            // All received, as far as the presence file says.
            let presence = scratch.path + "/models/\(big.identity.directoryName)/.presence/x"
            let handle = try FileHandle(forUpdating: URL(fileURLWithPath: presence))
            let words = (file.chunkCount + 63) / 64 * 8
            try handle.seek(toOffset: UInt64(512 + (words + 63) / 64 * 64))
            try handle.write(contentsOf: [UInt8](repeating: 255, count: file.chunkCount / 8))
            try handle.close()
        }
        let root = try root(scratch, .disk)
        defer { root.close() }
        let model = try root.open(big)
        #expect(model.files[0].receivedChunks == model.files[0].chunkCount)
        _ = try root.open(m)
    }
}
