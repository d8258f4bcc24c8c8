import ChunkStore
import ChunkStoreTestSupport
import Foundation
import Logging
import ObjectStore
import RangeTransfer
import Swarm
import Synchronization
import TestSupport
import Testing
import Transfer

/// Nodes of one process that find each other on the loopback.
@Suite(.serialized) struct SwarmFillTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private struct Node {
        let cache: FakeCache
        let swarm: Swarm
        let fill: SwarmFill
        let pool: StagingPool
    }

    private func swarm(_ peers: String) async throws -> Swarm {
        let listen = PeerAddress(host: "127.0.0.1", port: 0)
        let swarm = try Swarm(
            SwarmConfiguration(peers: .file(peers), listen: listen), secrets: { [Array("a secret of thirty-two bytes, at least".utf8)] },
            logger: logger)
        try await swarm.start()
        return swarm
    }

    private func nodes(
        _ count: Int, _ folder: TemporaryFolder, files: [String: Int], staging: Int = 16 << 20, source: (Int, FakeCache) -> FakeSource
    ) async throws -> [Node] {
        let peers = folder.file("peers")
        try "".write(toFile: peers, atomically: true, encoding: .utf8)
        var swarms: [Swarm] = []
        for _ in 0..<count { swarms.append(try await swarm(peers)) }
        try swarms.map { "127.0.0.1:\($0.port)" }.joined(separator: "\n").write(toFile: peers, atomically: true, encoding: .utf8)
        return try swarms.enumerated().map { index, swarm in
            let cache = try FakeCache(folder: folder.file("\(index)"), files: files)
            let pool = StagingPool(limitBytes: staging)
            let fill = SwarmFill(
                model: cache.model, source: source(index, cache), swarm: swarm,
                peerEngine: try TransferEngine(TransferEngineConfiguration(threads: 1)), pool: pool,
                limits: FillLimits(maximumTransfers: 8), logger: logger)
            return Node(cache: cache, swarm: swarm, fill: fill, pool: pool)
        }
    }

    private func expectClean(_ node: Node) throws {
        #expect(node.pool.usedBytes == 0)
        for file in node.cache.model.files {
            for chunk in file.missingChunks() { _ = try file.assembleChunk(chunk, blockBytes: 1 << 20) }  // throws for one that is claimed
        }
    }

    @Test func `two nodes that start together publish the right bytes`() async throws {
        let folder = try TemporaryFolder()
        let nodes = try await nodes(2, folder, files: ["a": 9_000_000, "b": 3]) { _, cache in
            FakeSource(cache.contents, pieceTime: .milliseconds(5))
        }
        await withTaskGroup(of: Void.self) { group in for node in nodes { group.addTask { await node.fill.run() } } }
        for node in nodes {
            for file in node.cache.model.files {
                #expect(file.state == .complete, "\(file.message)")
                let bytes = try Data(contentsOf: URL(filePath: "\(node.cache.model.directory)/\(file.key)"))
                #expect([UInt8](bytes) == node.cache.contents[file.key])
            }
            await node.fill.close()
            try expectClean(node)
            await node.swarm.shutDown()
        }
    }

    @Test func `a file that the store has lost fails alone and is asked for no more`() async throws {
        let folder = try TemporaryFolder()
        let nodes = try await nodes(1, folder, files: ["gone": 5 << 20, "here": 5 << 20]) { _, cache in
            FakeSource(cache.contents) { _, range in
                range.key == "gone" ? .fails(StoreError(.noSuchKey, detail: "not found", status: 404), after: 0) : .none
            }
        }
        let node = nodes[0]
        await node.fill.run()
        let files = Dictionary(uniqueKeysWithValues: node.cache.model.files.map { ($0.key, $0) })
        #expect(files["here"]?.state == .complete)
        #expect(files["gone"]?.state == .failed && files["gone"]?.message.contains("gone was replaced or deleted") == true)
        #expect(node.fill.failure == .store(.noSuchKey) && files["gone"]?.failedAlone == true)
        let requests = node.fill.meter.requests
        await node.fill.demand(file: 0, offset: 0, length: 1)
        try await Task.sleep(for: .seconds(1))  // the time in which the planner would ask again ten times
        #expect(node.fill.meter.requests == requests)
        await node.fill.close()
        try expectClean(node)
        await node.swarm.shutDown()
    }

    @Test func `a caller that may not read takes no fill over, and its fill goes on with one that may`() async throws {
        for isFirst in [true, false] {
            let folder = try TemporaryFolder()
            let others = Mutex<[FakeSource]>([])
            let nodes = try await nodes(1, folder, files: ["a": 9 << 20, "b": 3]) { _, cache in
                let good = FakeSource(cache.contents)
                let bad = FakeSource(cache.contents) { _, _ in .fails(StoreError(.wrongKey, detail: "no key", status: 403), after: 0) }
                others.withLock { $0 = [isFirst ? good : bad, bad] }
                return isFirst ? bad : good
            }
            let node = nodes[0]
            let (other, bad) = try others.withLock { (try #require($0.first), try #require($0.last)) }
            await node.fill.use(other)
            await node.fill.run()
            #expect(node.cache.model.files.allSatisfy { $0.state == .complete } && node.fill.failure == nil)
            #expect(bad.requests.isEmpty != isFirst)
            await node.fill.close()
            try expectClean(node)
            await node.swarm.shutDown()
        }
    }

    @Test func `the store's client, which has its keys, goes with the fill while the model is served on`() async throws {
        final class Keyed: RangeSource {
            let name = "http://fake"
            let source: FakeSource
            init(_ source: FakeSource) { self.source = source }
            func get(
                _ range: ObjectRange, into sink: any RangeSink, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
            ) -> any RunningTransfer { source.get(range, into: sink, completion: completion) }
        }
        let folder = try TemporaryFolder()
        let peers = folder.file("peers")
        try "".write(toFile: peers, atomically: true, encoding: .utf8)
        let swarm = try await swarm(peers)
        let cache = try FakeCache(folder: folder.file("0"), files: ["a": 5 << 20])
        weak var client: Keyed?
        let fill: SwarmFill
        do {
            let keyed = Keyed(FakeSource(cache.contents))
            client = keyed
            fill = SwarmFill(
                model: cache.model, source: keyed, swarm: swarm, peerEngine: try TransferEngine(TransferEngineConfiguration(threads: 1)),
                pool: StagingPool(limitBytes: 16 << 20), limits: FillLimits(maximumTransfers: 8), logger: logger)
        }
        #expect(client != nil)
        await fill.run()
        #expect(cache.model.files[0].state == .complete)
        try await eventually("nobody has it any more") { client == nil }
        #expect(await fill.report().heldBlocks > 0, "it is served")
        await fill.close()
        await swarm.shutDown()
    }

    @Test func `a stop ends transfers that bring nothing`() async throws {
        let folder = try TemporaryFolder()
        let nodes = try await nodes(1, folder, files: ["a": 9 << 20]) { _, cache in FakeSource(cache.contents) { _, _ in .hangs } }
        let node = nodes[0]
        let run = Task { await node.fill.run() }
        try await eventually("something is asked for") { node.fill.meter.requests > 0 }
        let began = ContinuousClock.now
        await node.fill.stop()
        await run.value
        #expect(began.duration(to: .now) < .seconds(20))
        try expectClean(node)
        await node.swarm.shutDown()
    }

    @Test func `a stop waits neither for the check of a file nor for that of chunks that were here`() async throws {
        let folder = try TemporaryFolder()
        let nodes = try await nodes(1, folder, files: ["a": 5 << 20]) { _, cache in FakeSource(cache.contents) }
        let (node, busy) = (nodes[0], await BusyThreads(.completion))
        let file = node.cache.model.files[0]
        let run = Task { await node.fill.run() }
        try await eventually("every chunk is there") { file.missingChunks().isEmpty }
        await node.fill.stop()
        await run.value
        #expect(file.state == .filling && node.fill.failure == nil)
        let next = SwarmFill(
            model: node.cache.model, source: FakeSource(node.cache.contents), swarm: node.swarm,
            peerEngine: try TransferEngine(TransferEngineConfiguration(threads: 1)), pool: node.pool,
            limits: FillLimits(maximumTransfers: 8), logger: logger)
        let second = Task { await next.run() }
        try await Task.sleep(for: .milliseconds(50))  // it may have begun with the chunks, or not yet
        await next.stop()
        await second.value
        busy.release()
        #expect(file.state == .filling)
        try expectClean(node)
        await node.swarm.shutDown()
    }

    @Test func `a node takes no more blocks at once than it has staging memory for`() async throws {
        let folder = try TemporaryFolder()
        let files = ["a": 9 << 20]
        let source = Mutex<FakeSource?>(nil)
        let nodes = try await nodes(1, folder, files: files, staging: 6 << 20) { _, cache in
            let made = FakeSource(cache.contents, pieceTime: .milliseconds(1))
            source.withLock { $0 = made }
            return made
        }
        await nodes[0].fill.run()
        #expect(nodes[0].cache.model.files.allSatisfy { $0.state == .complete })
        let most = try #require(source.withLock { $0 }).mostAtOnce
        #expect(most >= 1 && most <= 3)
        await nodes[0].fill.close()
        try expectClean(nodes[0])
        await nodes[0].swarm.shutDown()
    }

    @Test func `while another model's reader waits what nobody waits for here rests`() async throws {
        let folder = try TemporaryFolder()
        let source = Mutex<FakeSource?>(nil)
        let nodes = try await nodes(1, folder, files: ["a": 9 << 20]) { _, cache in
            let made = FakeSource(cache.contents, pieceTime: .milliseconds(20))
            source.withLock { $0 = made }
            return made
        }
        let node = nodes[0]
        let run = Task { await node.fill.run() }
        let store = try #require(source.withLock { $0 })
        try await eventually("a block is asked for") { store.inFlight > 0 }
        let other = node.pool.join { _ in }
        other.update(demands: 0, prefetches: 0, demandsUnderWay: 1)
        try await eventually("transfers rest") { store.paused > 0 }
        other.leave()
        await run.value
        #expect(node.cache.model.files.allSatisfy { $0.state == .complete } && store.complaints.isEmpty)
        await node.fill.close()
        try expectClean(node)
        await node.swarm.shutDown()
    }

    /// Another fill of the node's cache, after one that was stopped.
    private func next(
        after node: Node, _ model: CachedModel? = nil, source: FakeSource, limits: FillLimits = FillLimits(maximumTransfers: 8)
    ) throws -> SwarmFill {
        SwarmFill(
            model: model ?? node.cache.model, source: source, swarm: node.swarm,
            peerEngine: try TransferEngine(TransferEngineConfiguration(threads: 1)), pool: node.pool, limits: limits, logger: logger)
    }

    /// A node whose fill was stopped when it had some blocks of each chunk's file, and not the last chunk of "a".
    private func stopped(_ folder: TemporaryFolder) async throws -> Node {
        let nodes = try await nodes(1, folder, files: ["a": 9 << 20, "b": 5 << 20]) { _, cache in
            FakeSource(cache.contents) { _, range in range.key == "a" && range.offset >= (9 << 20) - (128 << 10) ? .hangs : .none }
        }
        let node = nodes[0]
        let run = Task { await node.fill.run() }
        try await eventually("all else is there") {
            node.cache.model.files.map(\.receivedChunks) == [4, 3] && node.cache.model.files[1].state == .complete
        }
        await node.fill.stop()
        await run.value
        return node
    }

    @Test func `a fill after another offers what is here at once, and its readers wait for no check`() async throws {
        let folder = try TemporaryFolder()
        let node = try await stopped(folder)
        let busy = await BusyThreads(.completion)
        let second = try next(after: node, source: FakeSource(node.cache.contents))
        let run = Task { await second.run() }
        await second.demand(file: 0, offset: 8 << 20, length: 1)
        try await eventually("the missing chunk is there") { node.cache.model.files[0].missingChunks().isEmpty }
        let report = await second.report()
        #expect(report.heldBlocks == report.blocks, "without a read, as the fill before left it")
        busy.release()
        await run.value
        #expect(node.cache.model.files.allSatisfy { $0.state == .complete })
        #expect(second.meter.receivedBytes == 1 << 20)
        await second.close()
        try expectClean(node)
        await node.swarm.shutDown()
    }

    @Test func `after a restart what is here is checked beside the fill, offered then, and fetched again if it is wrong`() async throws {
        let folder = try TemporaryFolder()
        let node = try await stopped(folder)
        let manifest = node.cache.model.manifest
        let path = node.cache.model.directory + "/.partial/a"
        node.cache.root.close()
        let data = try FileHandle(forUpdating: URL(filePath: path))
        try data.seek(toOffset: 3 << 20)
        try data.write(contentsOf: [0x55, 0x66])
        try data.close()
        let (checks, background) = (await BusyThreads(.completion), await BusyThreads(.background))
        let root = try CacheDirectory(root: folder.file("0"), .models, medium: .init(preference: .directory))
        let model = try root.open(manifest)
        let source = FakeSource(node.cache.contents)
        let second = try next(after: node, model, source: source)
        let run = Task { await second.run() }
        await second.demand(file: 0, offset: 8 << 20, length: 1)
        try await eventually("the chunk that is missing is there") { model.files[0].isReceived(4) }
        let before = await second.report()
        #expect(source.requests.allSatisfy { $0.key == "a" && $0.offset >= 8 << 20 }, "what is here is asked of nobody")
        #expect(before.heldBlocks == 8, "and not offered before it is checked")
        checks.release()
        await run.value
        background.release()
        #expect(model.files.allSatisfy { $0.state == .complete })
        #expect(second.meter.receivedBytes == 3 << 20, "the last chunk, and the one that was damaged")
        try await eventually("all is offered") { await second.report().heldBlocks == before.blocks }
        #expect(try [UInt8](Data(contentsOf: URL(filePath: "\(model.directory)/a"))) == node.cache.contents["a"])
        await second.close()
        root.close()
        await node.swarm.shutDown()
    }

    @Test func `a fill that only checks its files waits for no bytes, and serves them after`() async throws {
        let folder = try TemporaryFolder()
        let nodes = try await nodes(2, folder, files: ["a": 5 << 20]) { _, cache in FakeSource(cache.contents) { _, _ in .hangs } }
        let (node, other) = (nodes[0], nodes[1])
        let busy = await BusyThreads(.completion)
        let limits = FillLimits(maximumTransfers: 8, storeDeadline: .seconds(3))
        let fill = try next(after: node, source: FakeSource(node.cache.contents), limits: limits)
        let run = Task { await fill.run() }
        try await eventually("every chunk is there") { node.cache.model.files[0].missingChunks().isEmpty }
        try await Task.sleep(for: .seconds(5))  // the deadline passes
        busy.release()
        await run.value
        #expect(fill.failure == nil && node.cache.model.files[0].state == .complete)
        let waiting = Task { await other.fill.run() }
        // A fill that gave up has left the swarm.
        try await eventually("it serves the other") { await fill.report().peers.contains { $0.connected } }
        await fill.close()
        await other.fill.stop()
        await waiting.value
        for node in nodes {
            try expectClean(node)
            await node.swarm.shutDown()
        }
    }
}
