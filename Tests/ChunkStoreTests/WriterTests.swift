import Checksum
import ChunkStore
import Foundation
import Synchronization
import Testing
import TestSupport

@Suite struct WriterTests {
    let bytes = pattern((9 << 20) + 321, seed: 9)

    private func open(_ scratch: Scratch, chunkBytes: UInt64 = 4 << 20) throws -> (CacheDirectory, CachedFile) {
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        let entry = ManifestFile(key: "x", size: UInt64(bytes.count), etag: "e", checksums: .init(crc64: crc(bytes)))
        return (root, try root.open(try Manifest(identity: identity, files: [entry], chunkBytes: chunkBytes)).files[0])
    }

    @Test func bytesReceivedStraightIntoStagingMemoryArrive() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        let pool = StagingPool(limitBytes: 2 << 20)
        var random = SeededRandom(seed: 5)
        for chunk in 0..<file.chunkCount {
            let writer = try #require(try file.beginChunk(chunk, pool: pool))
            while writer.remaining > 0 {
                let wanted = Int.random(in: -1...300_000, using: &random)
                let before = writer.position
                var took = 0
                try writer.withFreeSpace { space in
                    #expect(space.count > 0 && space.count <= 2 << 20)
                    took = min(max(0, wanted), space.count)
                    bytes.withUnsafeBytes { source in
                        space.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[Int(before)..<Int(before) + took]))
                    }
                    return wanted <= 0 ? wanted : took
                }
                #expect(writer.position == before + UInt64(took))
            }
            try writer.withFreeSpace { space in
                #expect(space.isEmpty)
                return 0
            }
            #expect(try writer.finish() == (chunk == file.chunkCount - 1))
        }
        #expect(try file.complete() == .published(.verified))
    }

    @Test func blocksInAnyOrderWithAndWithoutRelayMakeTheChunk() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        let pool = StagingPool(limitBytes: 2 << 20)
        for chunk in 0..<file.chunkCount {
            let assembly = try file.assembleChunk(chunk, blockBytes: 1 << 20)
            for block in (0..<assembly.blockCount).reversed() {
                let grant = try #require(pool.grant())
                let writer = try #require(assembly.writer(forBlock: block, with: grant, isRelayed: block % 2 == 0))
                let range = Int(writer.range.lowerBound)..<Int(writer.range.upperBound)
                let half = range.lowerBound + range.count / 2
                try bytes[range.lowerBound..<half].withUnsafeBytes { try writer.append($0) }
                // What is relayed is in the file at once; the rest may be staged.
                if block % 2 == 0 { #expect(writer.written == UInt64(range.count / 2)) }
                try bytes[half..<range.upperBound].withUnsafeBytes { try writer.append($0) }
                #expect(writer.written == UInt64(range.count) && writer.checksum == crc(Array(bytes[range])))
                #expect(writer.end() != nil && writer.end() == nil)
                let outcome = try assembly.accept(block: block, checksum: writer.checksum)
                #expect(outcome.chunkIsComplete == (block == 0))
            }
        }
        #expect(try file.complete() == .published(.verified) && pool.usedBytes == 0)
    }

    @Test func theWriterRefusesMoreThanTheChunkHoldsAndTakesNothingOfIt() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        let pool = StagingPool(limitBytes: 2 << 20)
        let writer = try #require(try file.beginChunk(2, pool: pool))
        let rest = Int(writer.remaining)
        #expect(throws: ChunkStoreError.wrongLength(key: "x", chunk: 2, expected: UInt64(rest), got: UInt64(rest + 1))) {
            try pattern(rest + 1).withUnsafeBytes { try writer.append($0) }
        }
        #expect(writer.remaining == UInt64(rest))
        try bytes[(8 << 20)...].withUnsafeBytes { try writer.append($0) }
        #expect(try writer.finish() == false)
        #expect(throws: ChunkStoreError.chunkReceived(key: "x", chunk: 2)) { try file.beginChunk(2, pool: pool) }
        #expect(throws: ChunkStoreError.stale(key: "x", chunk: 2)) { try writer.finish() }
    }

    @Test func anEmptyPoolIsNilAndTheChunkStaysFree() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        let pool = StagingPool(limitBytes: 5 << 20)
        #expect(pool.limitBytes == 4 << 20)
        let first = try #require(try file.beginChunk(0, pool: pool))
        var second = try file.beginChunk(1, pool: pool)
        #expect(second != nil && pool.usedBytes == 4 << 20)
        #expect(try file.beginChunk(2, pool: pool) == nil)
        #expect(try file.beginChunk(2, pool: pool) == nil, "not busy: nobody has it")
        second = nil
        #expect(pool.usedBytes == 2 << 20, "a dropped writer gives its memory back")
        let third = try #require(try file.beginChunk(2, pool: pool))
        first.abort()
        first.abort()
        third.abort()
        #expect(pool.usedBytes == 0)
        #expect(try file.beginChunk(1, pool: pool) != nil, "and its chunk")
    }

    @Test func aWriterThatOutlivesItsEpochOrItsModelIsStale() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        let pool = StagingPool(limitBytes: 4 << 20)
        let old = try #require(try file.beginChunk(0, pool: pool))
        try bytes[..<(4 << 20)].withUnsafeBytes { try old.append($0) }
        file.invalidate(reason: "the object was replaced")
        #expect(file.message == "the object was replaced" && file.epoch == 1, "nobody has seen a byte")
        #expect(throws: ChunkStoreError.stale(key: "x", chunk: 0)) { try old.finish() }
        #expect(!file.isReceived(0))
        let last = try #require(try file.beginChunk(0, pool: pool))
        try bytes[..<(4 << 20)].withUnsafeBytes { try last.append($0) }
        root.close()
        #expect(throws: ChunkStoreError.stale(key: "x", chunk: 0)) { try last.finish() }
        #expect(throws: ChunkStoreError.stale(key: "x", chunk: 1)) { try file.beginChunk(1, pool: pool) }
        #expect(!file.isReceived(0) && pool.usedBytes == 0)
    }

    @Test func readersThatSawBytesAreStoppedByTheEpoch() throws {
        let scratch = Scratch()
        let (root, file) = try open(scratch)
        defer { root.close() }
        try fill(file, 1, from: bytes, pool: StagingPool(limitBytes: 2 << 20))
        for epoch in [2, 2, 2] as [UInt32] {
            file.invalidate(reason: "the object was replaced")
            #expect(file.epoch == epoch && file.receivedChunks == 0 && !file.isVisible(1))
        }
    }

    @Test func eightThreadsFillSeveralFilesWhileReadersSeeOnlyTrueBytes() throws {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        let scratch = Scratch()
        let contents = [("a", 7 << 20), ("d/b", (12 << 20) + 1), ("d/c", 2 << 20), ("e", 1), ("f", (10 << 20) - 1)]
            .enumerated().map { ($1.0, pattern($1.1, seed: UInt64($0) + 1)) }
        let root = try CacheDirectory(root: scratch.path, .models)
        defer { root.close() }
        let model = try root.open(try manifest(contents))
        let source = Dictionary(uniqueKeysWithValues: contents)
        var random = SeededRandom(seed: seed)
        let work = model.files.flatMap { file in (0..<file.chunkCount).map { (file, $0) } }.shuffled(using: &random)
        // Fewer buffers than threads, and every chunk offered to two of them.
        let pool = StagingPool(limitBytes: 8 << 20)
        let lasts = Mutex<[String: Int]>([:])
        let done = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 10) { thread in
            do {
                if thread < 8 {
                    defer { done.withLock { $0 += 1 } }
                    for (index, (file, chunk)) in work.enumerated() where index % 4 == thread % 4 {
                        while !file.isReceived(chunk) {
                            do {
                                guard let writer = try file.beginChunk(chunk, pool: pool) else {
                                    usleep(100)
                                    continue
                                }
                                let range = Int(writer.range.lowerBound)..<Int(writer.range.upperBound)
                                try source[file.key]?[range].withUnsafeBytes { try writer.append($0) }
                                if try writer.finish() {
                                    lasts.withLock { $0[file.key, default: 0] += 1 }
                                    #expect(try file.complete() == .published(.verified))
                                }
                            } catch ChunkStoreError.chunkBusy, ChunkStoreError.chunkReceived {
                                usleep(50)
                            }
                        }
                    }
                } else {
                    while done.withLock({ $0 }) < 8 {
                        for file in model.files {
                            for chunk in 0..<file.chunkCount where file.isVisible(chunk) {
                                let range = Int(file.range(ofChunk: chunk).lowerBound)..<Int(file.range(ofChunk: chunk).upperBound)
                                let handle = try FileHandle(
                                    forReadingFrom: URL(fileURLWithPath: "\(model.directory)/.partial/\(file.key)"))
                                try handle.seek(toOffset: UInt64(range.lowerBound))
                                let got = try handle.read(upToCount: range.count)
                                try handle.close()
                                #expect(got.map { [UInt8]($0) } == source[file.key].map { Array($0[range]) }, "seed \(seed)")
                            }
                        }
                    }
                }
            } catch { Issue.record(error, "seed \(seed)") }
        }
        #expect(lasts.withLock { $0 } == source.mapValues { _ in 1 }, "seed \(seed)")
        #expect(pool.usedBytes == 0)
        for (key, bytes) in contents { #expect(try read("\(model.directory)/\(key)") == bytes) }
    }
}
