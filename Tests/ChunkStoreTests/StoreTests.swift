import AgentWire
import Checksum
import ChunkStore
import Foundation
import Testing
import TestSupport

@Suite(.serialized) struct StoreTests {
    let pool = StagingPool(limitBytes: 8 << 20)

    @Test func aFilledFileIsPublishedAndSurvivesARestart() async throws {
        let scratch = Scratch()
        let bytes = pattern((5 << 20) + 123)
        let m = try manifest([("sub/x.gguf", bytes), ("empty", [])])
        do {
            let root = try CacheDirectory(root: scratch.path, .models)
            defer { root.close() }
            let model = try root.open(m)
            let file = model.files[1]
            #expect(file.key == "sub/x.gguf" && file.chunkCount == 3)
            #expect(try fill(file, 2, from: bytes, pool: pool) == false)
            #expect(file.isVisible(2) && !file.isVisible(0))
            #expect(!FileManager.default.fileExists(atPath: model.directory + "/sub/x.gguf"))
            #expect(try fill(file, 0, from: bytes, pool: pool) == false)
            #expect(try fill(file, 1, from: bytes, pool: pool))
            #expect(try file.complete() == .published(.verified))
            #expect(try model.files[0].complete() == .published(.verified))
            #expect(try Data(contentsOf: URL(fileURLWithPath: model.directory + "/sub/x.gguf")) == Data(bytes))
            #expect(file.state == .complete && pool.usedBytes == 0)
        }
        let root = try CacheDirectory(root: scratch.path, .models)
        defer { root.close() }
        let model = try #require(root.model(for: identity))
        await model.checked()
        #expect(model.statistics.completeFiles == 2)
        try root.evict(model)
        #expect(!FileManager.default.fileExists(atPath: model.directory))
    }

    @Test(arguments: [VisibilityMode.streaming, .strict])
    func aWrongChecksumIsFilledAgainOnceAndThenFails(_ mode: VisibilityMode) throws {
        let scratch = Scratch()
        let bytes = pattern(3 << 20)
        let root = try CacheDirectory(root: scratch.path, .models, visibility: mode)
        defer { root.close() }
        let file = try root.open(try manifest([("x", bytes)], wrongCRC: true)).files[0]
        for round in 1...2 {
            for chunk in 0..<2 { try fill(file, chunk, from: bytes, pool: pool) }
            #expect(file.isVisible(0) == (mode == .streaming))
            let result = try file.complete()
            if round == 1, case .refill = result {} else if round == 2, case .failed = result {} else { Issue.record("\(result)") }
            // A new epoch stops readers of wrong bytes; under strict verification there are none.
            #expect(file.epoch == (mode == .streaming ? UInt32(round + 1) : 1))
            #expect(file.receivedChunks == 0 && !file.isVisible(0))
        }
        #expect(file.state == .failed && file.message.contains("CRC-64"))
    }

    @Test func anAbortedOrShortChunkLeavesNoBit() throws {
        let scratch = Scratch()
        let bytes = pattern(2 << 20)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let file = try root.open(try manifest([("x", bytes)])).files[0]
        let writer = try #require(try file.beginChunk(0, pool: pool))
        #expect(throws: ChunkStoreError.chunkBusy(key: "x", chunk: 0)) { try file.beginChunk(0, pool: pool) }
        try bytes[..<1000].withUnsafeBytes { try writer.append($0) }
        #expect(throws: ChunkStoreError.self) { try writer.finish() }
        writer.abort()
        #expect(!file.isReceived(0) && pool.usedBytes == 0)
        #expect(try fill(file, 0, from: bytes, pool: pool))
        #expect(file.checksum(of: 0) == crc(bytes))
    }

    @Test func aFullMediumIsATypedErrorAndNoBit() throws {
        let scratch = Scratch()
        let bytes = pattern(12 << 20)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .mount, hugePages: false, mountLimitBytes: 6 << 20))
        defer { root.close() }
        let file = try root.open(try manifest([("x", bytes)])).files[0]
        var full = 0
        for chunk in 0..<6 {
            do { try fill(file, chunk, from: bytes, pool: pool) } catch ChunkStoreError.mediumFull { full += 1 }
        }
        #expect(full >= 3 && file.receivedChunks == 6 - full && pool.usedBytes == 0)
    }

    @Test func aSecondAgentOnTheRootIsRefusedByPid() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models)
        defer { root.close() }
        #expect(throws: ChunkStoreError.rootLocked(path: scratch.path, pid: getpid())) { try CacheDirectory(root: scratch.path, .models) }
        root.close()
        _ = try CacheDirectory(root: scratch.path, .models)
    }

    @Test func aReadOnlyRootAndAFileAreRefused() throws {
        let scratch = Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
        try #require(mount("t", scratch.path, "tmpfs", UInt(MS_RDONLY), nil) == 0, "this test needs to mount")
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        #expect(throws: ChunkStoreError.rootNotWritable(path: scratch.path, why: "its file system is read-only")) {
            try CacheDirectory(root: scratch.path, .models)
        }
        #expect(throws: ChunkStoreError.self) { try CacheDirectory(root: "/proc/self/status", .models) }
    }

    @Test func onADiskAFlippedByteIsFoundAfterAStart() async throws {
        let scratch = Scratch()
        let bytes = pattern(6 << 20)
        let m = try manifest([("x", bytes)])
        var directory = ""
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .disk))
            defer { root.close() }
            let model = try root.open(m)
            directory = model.directory
            for chunk in 0..<3 { try fill(model.files[0], chunk, from: bytes, pool: pool) }
            #expect(try model.files[0].complete() == .published(.verified))
        }
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: directory + "/.partial/x"))
        try handle.seek(toOffset: 3 << 20)
        try handle.write(contentsOf: [bytes[3 << 20] ^ 1])
        try handle.close()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .disk))
        defer { root.close() }
        let model = try #require(root.model(for: identity))
        await model.checked()
        let file = model.files[0]
        #expect(file.missingChunks() == [1] && file.state == .filling && !file.isVisible(1) && file.isVisible(0))
        #expect(!FileManager.default.fileExists(atPath: directory + "/x"))
        #expect(try fill(file, 1, from: bytes, pool: pool))
        #expect(try file.complete() == .published(.verified))
    }

    @Test func randomOperationsAgreeWithAModelAcrossKills() async throws {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        let scratch = Scratch()
        let bytes = pattern((12 << 20) + 77)
        let m = try manifest([("d/x", bytes)])
        var expected = Set<Int>()
        var published = false
        var root = try CacheDirectory(root: scratch.path, .models)
        for _ in 0..<60 {
            let file = try root.open(m).files[0]
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                root.close()
                root = try CacheDirectory(root: scratch.path, .models)
            case 1, 2, 3:
                let chunk = Int.random(in: 0..<7, using: &random)
                if expected.contains(chunk) { break }
                try fill(file, chunk, from: bytes, pool: pool)
                expected.insert(chunk)
            case 4:
                let chunk = Int.random(in: 0..<7, using: &random)
                if expected.contains(chunk) { break }
                let writer = try #require(try file.beginChunk(chunk, pool: pool))
                try bytes[..<50].withUnsafeBytes { try writer.append($0) }
            default:
                if expected.count == 7 { published = try file.complete() == .published(.verified) } else {
                    #expect(throws: ChunkStoreError.notComplete(key: "d/x", missingChunks: 7 - expected.count)) { try file.complete() }
                    if Int.random(in: 0..<4, using: &random) == 0 {
                        file.invalidate(reason: "test")
                        expected = []
                    }
                }
            }
            let now = try root.open(m)
            await now.checked()
            #expect(Set((0..<7).filter { now.files[0].isReceived($0) }) == expected, "seed \(seed)")
            #expect(Set((0..<7).filter { now.files[0].isVisible($0) }) == expected, "seed \(seed)")
            #expect(FileManager.default.fileExists(atPath: now.directory + "/d/x") == published, "seed \(seed)")
        }
    }

    @Test func manyWritersFillTwoGibibytesAndOneSeesTheEnd() throws {
        let scratch = Scratch()
        let size = 2 << 30
        let source = pattern(4 << 20)
        let m = try Manifest(identity: identity, files: [ManifestFile(key: "big", size: UInt64(size), etag: "e")], chunkBytes: 4 << 20)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .mount))
        defer { root.close() }
        let file = try root.open(m).files[0]
        let pool = StagingPool(limitBytes: 8 << 20)
        let start = ContinuousClock.now
        nonisolated(unsafe) var ends = [0, 0]
        DispatchQueue.concurrentPerform(iterations: 2) { thread in
            for chunk in stride(from: thread, to: file.chunkCount, by: 2) {
                do {
                    if try fillPieces(file, chunk, from: source, pool: pool) { ends[thread] += 1 }
                } catch { Issue.record(error) }
            }
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        print("fill: \(Double(size) / 1e9 / seconds) GB/s, medium \(try root.open(m).medium)")
        #expect(ends[0] + ends[1] == 1)
        #expect(try file.complete() == .published(.unverifiable))
    }

    /// Every chunk the same bytes, in the sizes a receiver sees.
    private func fillPieces(_ file: CachedFile, _ chunk: Int, from source: [UInt8], pool: StagingPool) throws -> Bool {
        let writer = try file.writer(ofChunk: chunk, pool: pool)
        try source.withUnsafeBytes { all in
            for offset in stride(from: 0, to: all.count, by: 256 << 10) {
                try writer.append(UnsafeRawBufferPointer(rebasing: all[offset..<offset + (256 << 10)]))
            }
        }
        return try writer.finish()
    }
}
