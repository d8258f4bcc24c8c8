import ChunkStore
import ChunkStoreTestSupport
import Foundation
import Logging
import ObjectStore
import RangeTransfer
import TestSupport
import Testing
import Transfer

@Suite struct ModelFillTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func fill(_ cache: FakeCache, _ source: FakeSource, _ pool: StagingPool, limits: FillLimits = FillLimits(maximumTransfers: 4)) -> ModelFill {
        ModelFill(model: cache.model, source: source, pool: pool, limits: limits, logger: logger)
    }

    /// What each fill leaves behind: nothing.
    private func expectClean(_ pool: StagingPool, _ source: FakeSource, _ cache: FakeCache) throws {
        #expect(pool.usedBytes == 0 && source.inFlight == 0 && source.complaints.isEmpty, "\(source.complaints)")
        for file in cache.model.files {
            for chunk in file.missingChunks() { _ = try file.assembleChunk(chunk, blockBytes: 1 << 20) }  // throws for one that is claimed
        }
    }

    @Test func `a fill through random faults publishes the right bytes and leaves nothing behind`() async throws {
        for seed in SeededRandom.seeds(6) {
            let folder = try TemporaryFolder()
            let cache = try FakeCache(folder: folder.file("cache"), files: ["a": 9_000_000, "b": 1, "c": 4 << 20, "d": 0])
            let pool = StagingPool(limitBytes: 8 << 20)
            let source = FakeSource(cache.contents) { number, range in
                var random = SeededRandom(seed: seed &* 1_000 &+ UInt64(number))
                guard random.chance(1, of: 3) else { return .none }
                return .fails(StoreError(.connectionLost, detail: "broken"), after: Int.random(in: 0...Int(range.length), using: &random))
            }
            await fill(cache, source, pool).run()
            for file in cache.model.files {
                #expect(file.state == .complete, "seed \(seed): \(file.key) \(file.message)")
                let bytes = try Data(contentsOf: URL(filePath: "\(cache.model.directory)/\(file.key)"))
                #expect([UInt8](bytes) == cache.contents[file.key], "seed \(seed)")
            }
            try expectClean(pool, source, cache)
            cache.root.close()
        }
    }

    @Test func `a stop reaches transfers of a client that is no longer used`() async throws {
        let folder = try TemporaryFolder()
        let cache = try FakeCache(folder: folder.file("cache"), files: ["a": 20 << 20])
        let pool = StagingPool(limitBytes: 16 << 20)
        let source = FakeSource(cache.contents) { _, _ in .hangs }
        let fill = fill(cache, source, pool)
        let run = Task { await fill.run() }
        try await eventually("transfers are under way") { source.inFlight == 4 }
        let configuration = try StoreConfiguration(
            location: try ObjectLocation(parsing: "oss://bucket/m/"), endpoint: try StoreEndpoint(parsing: "http://127.0.0.1:9"), credentials: .anonymous)
        await fill.use(StoreClient(configuration, engine: try TransferEngine(TransferEngineConfiguration(threads: 1))))
        let began = ContinuousClock.now
        await fill.stop()
        await run.value
        #expect(began.duration(to: .now) < .seconds(20))
        try expectClean(pool, source, cache)
    }

    @Test func `a fill that is stopped while it backs off or waits for memory ends`() async throws {
        let folder = try TemporaryFolder()
        let cache = try FakeCache(folder: folder.file("cache"), files: ["a": 20 << 20])
        let other = try FakeCache(folder: folder.file("other"), files: ["b": 20 << 20])
        let pool = StagingPool(limitBytes: 4 << 20)
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(.throttled, detail: "wait", retryAfter: .seconds(30)), after: 0) }
        let second = FakeSource(other.contents) { _, _ in .hangs }
        let fills = [fill(cache, source, pool), fill(other, second, pool)]
        // The memory is one transfer's: the second, which keeps it, begins when the first has asked and waits.
        var runs = [Task { await fills[0].run() }]
        try await eventually("the first has asked") { source.requests.count > 0 }
        runs.append(Task { await fills[1].run() })
        try await eventually("the second has the memory") { second.inFlight > 0 }
        for fill in fills { await fill.stop() }
        for run in runs { await run.value }
        try expectClean(pool, source, cache)
        try expectClean(pool, second, other)
    }

    @Test func `a stop does not wait for the check of a file, and the next fill checks it`() async throws {
        let folder = try TemporaryFolder()
        let cache = try FakeCache(folder: folder.file("cache"), files: ["a": 5 << 20])
        let pool = StagingPool(limitBytes: 16 << 20)
        let source = FakeSource(cache.contents)
        let busy = await BusyThreads(.completion)
        let stopped = fill(cache, source, pool)
        let run = Task { await stopped.run() }
        let file = cache.model.files[0]
        try await eventually("every chunk is there") { file.missingChunks().isEmpty }
        await stopped.stop()
        await run.value
        #expect(file.state == .filling && stopped.failure == nil)
        busy.release()
        await fill(cache, source, pool).run()
        #expect(file.state == .complete)
        try expectClean(pool, source, cache)
    }

    @Test func `a permanent refusal fails the file with its name and leaves the other complete`() async throws {
        let folder = try TemporaryFolder()
        let cache = try FakeCache(folder: folder.file("cache"), files: ["gone": 5 << 20, "here": 5 << 20])
        let pool = StagingPool(limitBytes: 16 << 20)
        let source = FakeSource(cache.contents) { _, range in
            range.key == "gone" ? .fails(StoreError(.noSuchKey, detail: "not found", status: 404), after: 0) : .none
        }
        let fill = fill(cache, source, pool)
        await fill.run()
        let files = Dictionary(uniqueKeysWithValues: cache.model.files.map { ($0.key, $0) })
        #expect(files["here"]?.state == .complete)
        #expect(files["gone"]?.state == .failed && files["gone"]?.message.contains("gone was replaced or deleted") == true)
        #expect(fill.failure == .store(.noSuchKey))
        try expectClean(pool, source, cache)
    }

    @Test func `a caller that may not read takes no fill over, and its fill goes on with one that may`() async throws {
        for isFirst in [true, false] {
            let folder = try TemporaryFolder()
            let cache = try FakeCache(folder: folder.file("cache"), files: ["a": 9 << 20, "b": 3])
            let pool = StagingPool(limitBytes: 16 << 20)
            let good = FakeSource(cache.contents)
            let bad = FakeSource(cache.contents) { _, _ in .fails(StoreError(.accessDenied, detail: "no right", status: 403), after: 0) }
            let fill = fill(cache, isFirst ? bad : good, pool)
            await fill.use(isFirst ? good : bad)
            await fill.run()
            #expect(cache.model.files.allSatisfy { $0.state == .complete } && fill.failure == nil)
            #expect(bad.requests.isEmpty != isFirst)
            try expectClean(pool, good, cache)
        }
    }

    @Test(arguments: [
        (StoreError.Kind.unreadable, true), (.noSuchKey, true), (.accessDenied, true), (.objectChanged, false), (.wrongSecret, false),
        (.credentialsRefused, false), (.noSuchBucket, false),
    ])
    func `what is an object's own fault is told from what other keys or a new listing mend`(kind: StoreError.Kind, isOwn: Bool) async throws {
        let folder = try TemporaryFolder()
        let cache = try FakeCache(folder: folder.file("cache"), files: ["x": 1 << 20])
        let pool = StagingPool(limitBytes: 16 << 20)
        let source = FakeSource(cache.contents) { _, _ in .fails(StoreError(kind, detail: "no"), after: 0) }
        await fill(cache, source, pool).run()
        #expect(cache.model.files.map(\.state) == [.failed] && cache.model.files[0].failedAlone == isOwn)
    }

    @Test func `a demanded model overtakes a fill that holds all transfers of a silent store`() async throws {
        let folder = try TemporaryFolder()
        let large = try FakeCache(folder: folder.file("cache"), files: ["a": 64 << 20])
        let small = try FakeCache(folder: folder.file("small"), files: ["b": 2 << 20])
        let pool = StagingPool(limitBytes: 16 << 20)
        let busy = FakeSource(large.contents) { _, _ in .hangs }
        let quick = FakeSource(small.contents)
        let filling = fill(large, busy, pool, limits: FillLimits(maximumTransfers: 8))
        let reading = fill(small, quick, pool, limits: FillLimits(maximumTransfers: 8))
        let first = Task { await filling.run() }
        try await eventually("the staging memory is used up but for the demands' part") { busy.inFlight >= 7 }
        await reading.demand(file: 0, offset: 0, length: 1)
        let second = Task { await reading.run() }
        // No transfer of the other ends.
        try await eventually("the demanded model is complete") { small.model.files[0].state == .complete }
        await second.value
        await filling.stop()
        await first.value
        try expectClean(pool, busy, large)
    }

    @Test func `of a mixture of experts the weights of every token come first, and the experts complete it`() async throws {
        let folder = try TemporaryFolder()
        let table = GGUFText([
            ("blk.0.ffn_gate_exps.weight", [1 << 10, 1 << 10, 8]), ("blk.0.ffn_up_exps.weight", [1 << 10, 1 << 10, 8]),
            ("blk.1.attn_q.weight", [1 << 11, 1 << 10]), ("blk.1.ffn_up_exps.weight", [1 << 10, 1 << 10, 8]),
        ])
        let size = Int(table.fileBytes)
        let cache = try FakeCache(folder: folder.file("cache"), files: ["m.gguf": size], beginnings: ["m.gguf": table.bytes])
        let pool = StagingPool(limitBytes: 16 << 20)
        let source = FakeSource(cache.contents, pieceTime: .milliseconds(5))
        let fill = fill(cache, source, pool, limits: FillLimits(maximumTransfers: 2, initialTransfers: 2))
        await fill.run()
        #expect(cache.model.files[0].state == .complete)
        // 32 MiB of experts lie before the attention and 16 MiB after it; two transfers run while the table is read.
        let attention = try #require(source.requests.firstIndex { $0.offset <= 33 << 20 && 33 << 20 < $0.offset + $0.length })
        #expect(attention <= 5, "\(source.requests.map { ($0.offset >> 20, $0.length >> 20) })")
        try expectClean(pool, source, cache)
    }

    @Test func `a digest that is wrong twice ends the file and nothing else`() async throws {
        let folder = try TemporaryFolder()
        let cache = try FakeCache(folder: folder.file("cache"), files: ["bad": 3 << 20, "good": 3 << 20], wrongCRC: "bad")
        let pool = StagingPool(limitBytes: 16 << 20)
        let source = FakeSource(cache.contents)
        let fill = fill(cache, source, pool)
        await fill.run()
        #expect(cache.model.files.map(\.state) == [.failed, .complete])
        #expect(fill.failure == .wrongContent && fill.meter.refilledFiles == 1)
        try expectClean(pool, source, cache)
    }
}
