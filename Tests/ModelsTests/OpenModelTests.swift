import AgentAPI
import ChunkStore
import ChunkStoreTestSupport
import Foundation
import Logging
import Models
import ObjectStore
import RangeTransfer
import Swarm
import Synchronization
import TestSupport
import Testing
import Transfer

/// A fill that does what the test says.
private actor StandIn: Fill {
    nonisolated let meter = FillMeter()
    private nonisolated let told = Mutex((failure: FillFailure?.none, demands: [[UInt64]](), clients: 0, limits: [Int64?](), stops: 0))
    private var waiter: CheckedContinuation<Void, Never>?
    private var isOver = false

    nonisolated var failure: FillFailure? { told.withLock { $0.failure } }
    nonisolated var demands: [[UInt64]] { told.withLock { $0.demands } }
    nonisolated var clients: Int { told.withLock { $0.clients } }
    nonisolated var limits: [Int64?] { told.withLock { $0.limits } }
    nonisolated var stops: Int { told.withLock { $0.stops } }

    func run() async { if !isOver { await withCheckedContinuation { waiter = $0 } } }
    func demand(file: Int, offset: UInt64, length: UInt64) { told.withLock { $0.demands.append([UInt64(file), offset, length]) } }
    func use(_ client: StoreClient) { told.withLock { $0.clients += 1 } }
    func limit(bytesPerSecond: Int64?) { told.withLock { $0.limits.append(bytesPerSecond) } }
    func stop() { told.withLock { $0.stops += 1 } }

    func ends(_ failure: FillFailure? = nil) {
        told.withLock { $0.failure = failure }
        isOver = true
        waiter?.resume()
        waiter = nil
    }
}

/// A model in a folder of its own, with a store that is never asked.
private final class World {
    let folder: TemporaryFolder
    let root: CacheDirectory
    let model: OpenModel
    let engine: TransferEngine
    let client: StoreClient
    let pool = StagingPool(limitBytes: 8 << 20)
    /// What each fill said at its end.
    let ends = Ends()
    var fills: [StandIn] = []

    final class Ends: Sendable {
        let hasLost = Mutex<[Bool]>([])
        var count: Int { hasLost.withLock { $0.count } }
    }

    static let bytes = [UInt8](repeating: 7, count: 3 << 20)

    init(_ keys: [String] = ["x", "y"]) throws {
        folder = try TemporaryFolder("open")
        root = try CacheDirectory(root: folder.path, .models, medium: .init(preference: .directory))
        let identity = SourceIdentity(endpoint: "http://store", bucket: "models", prefix: "m/")
        let files = keys.map { ManifestFile(key: $0, size: UInt64(Self.bytes.count), etag: "e") }
        let cached = try root.open(try Manifest(identity: identity, files: files, chunkBytes: 2 << 20))
        model = OpenModel(cached: cached, source: "oss://models/m/")
        engine = try TransferEngine(TransferEngineConfiguration(threads: 1))
        client = StoreClient(
            try StoreConfiguration(
                location: try ObjectLocation(parsing: "oss://models/m/"), endpoint: try StoreEndpoint(parsing: "http://127.0.0.1:9"),
                region: nil, credentials: .anonymous, retry: RetryPolicy(maximumAttempts: 1)), engine: engine)
    }

    deinit {
        root.close()
        engine.shutDown()
    }

    var files: [CachedFile] { model.cached.files }

    /// Nil: none was begun.
    @discardableResult
    func fill(lease: Lease = Lease()) -> StandIn? {
        let before = fills.count
        model.fill(
            client: client, lease: lease, engine: ObjectIdentifier(engine),
            ended: { [ends] hasLost in ends.hasLost.withLock { $0.append(hasLost) } }
        ) {
            let fill = StandIn()
            fills.append(fill)
            return fill
        }
        return fills.count > before ? fills.last : nil
    }

    final class Lease: Sendable {}

    /// Ends the fill and waits until the model has heard of it.
    func end(_ fill: StandIn, _ failure: FillFailure? = nil) async throws {
        let count = ends.count
        await fill.ends(failure)
        let ends = ends
        try await eventually("the fill has ended") { ends.count > count }
    }

    func hold(lost: @escaping @Sendable () async -> Void = {}) -> ModelHold {
        model.hold(SourceQuery(variables: ["OSS_PATH": "oss://models/m/"]), lost: lost)
    }

    /// Brings the file's missing chunks.
    func receive(_ place: Int) throws {
        let file = files[place]
        for chunk in file.missingChunks() {
            let assembly = try file.assembleChunk(chunk, blockBytes: file.chunkBytes)
            defer { assembly.abort() }
            let granted = Mutex<StagingGrant?>(nil)
            let share = pool.join { if case .granted(let grant) = $0 { granted.withLock { $0 = grant } } }
            share.update(demands: 1, prefetches: 0, demandsUnderWay: 0)
            share.leave()
            let grant = try #require(granted.withLock { $0 })
            let writer = try #require(assembly.writer(forBlock: 0, with: grant, isRelayed: false))
            let range = Int(writer.range.lowerBound)..<Int(writer.range.upperBound)
            try Self.bytes[range].withUnsafeBytes { try writer.append($0) }
            _ = try assembly.accept(block: 0, checksum: writer.checksum)
            writer.end()
        }
    }

    func complete(_ place: Int) throws {
        try receive(place)
        _ = try files[place].complete()
    }

    func damage(_ place: Int) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: "\(model.cached.directory)/.partial/\(files[place].key)"))
        try handle.write(contentsOf: [0xee])
        try handle.close()
        #expect(files[place].check(0, blockBytes: files[place].chunkBytes) == .wrong)
    }
}

private final class Flag: Sendable {
    let isSet = Atomic(false)
}

@Suite struct OpenModelTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    // MARK: Holders

    @Test func `a model is in use as long as somebody holds it, and knows the settings of the latest first`() throws {
        let world = try World()
        let first = world.hold()
        let second = world.model.hold(SourceQuery(variables: ["OSS_PATH": "other"])) {}
        #expect(world.model.cached.usage.inUse == 2)
        #expect(world.model.holders.map { $0.variables["OSS_PATH"] } == ["other", "oss://models/m/"])
        world.model.release(second)
        world.model.release(first)
        #expect(world.model.cached.usage.inUse == 0 && world.model.holders.isEmpty)
    }

    @Test func `a lost chunk is told while somebody holds the model`() async throws {
        let world = try World()
        try world.complete(0)
        let told = Mutex(0)
        let hold = world.hold { told.withLock { $0 += 1 } }
        try world.damage(0)
        try await eventually("it is told") { told.withLock { $0 } == 1 }
        world.model.release(hold)
        try world.complete(0)
        try world.damage(0)
        let again = world.hold { told.withLock { $0 += 100 } }
        try world.complete(0)
        try world.damage(0)
        try await eventually("the one after it is told") { told.withLock { $0 } >= 100 }
        #expect(told.withLock { $0 } == 101, "nobody heard of the one between")
        world.model.release(again)
    }

    // MARK: Fills

    @Test func `one fill at a time: later callers hand it their client, and engines stay open until its end`() async throws {
        let world = try World()
        let started = world.fill()
        let fill = try #require(started)
        weak var lease: World.Lease?
        do {
            let other = World.Lease()
            lease = other
            world.model.fill(client: world.client, lease: other, engine: ObjectIdentifier(other), ended: { _ in }) { StandIn() }
        }
        try await eventually("it has the newer client") { fill.clients == 1 }
        #expect(world.model.isFilling && lease != nil)
        try await world.end(fill)
        #expect(!world.model.isFilling && lease == nil)
        let next = world.fill()
        try await world.end(try #require(next))
    }

    @Test func `no fill begins while the files change, nor when nothing is missing`() async throws {
        let world = try World()
        world.model.updateBegins()
        #expect(world.fill() == nil)
        world.model.updateEnded()
        let started = world.fill()
        try await world.end(try #require(started))
        for place in world.files.indices { try world.complete(place) }
        #expect(world.model.isComplete && world.fill() == nil)
    }

    @Test func `a stop waits until the fill has ended`() async throws {
        let world = try World()
        let started = world.fill()
        let fill = try #require(started)
        let stopped = Flag()
        let model = world.model
        let stopping = Task {
            await model.stopFill()
            stopped.isSet.store(true, ordering: .relaxed)
        }
        try await eventually("the fill is told") { fill.stops == 1 }
        #expect(!stopped.isSet.load(ordering: .relaxed) && model.isFilling)
        await fill.ends()
        await stopping.value
        #expect(!world.model.isFilling)
    }

    @Test func `the counters of fills that have ended stay`() async throws {
        let world = try World()
        for _ in 0..<2 {
            let started = world.fill()
            let fill = try #require(started)
            try await world.end(fill, .noBytes)
        }
        #expect(world.model.supply.idleCause == .queue && world.model.fillFailure == .noBytes)
        let started = world.fill()
        #expect(world.model.supply.idleCause == .check && world.model.fillFailure == nil, "the one that runs counts")
        try await world.end(try #require(started))
    }

    // MARK: Requests

    @Test func `demands and limits reach the fill that runs, and a demand without one waits for nobody`() async throws {
        let world = try World()
        let hold = world.hold()
        #expect(hold.demand(file: 0, offset: 0, length: 1))
        let started = world.fill()
        let fill = try #require(started)
        #expect(hold.demand(file: 1, offset: 4096, length: 8192))
        #expect(hold.demand(file: 1, offset: 0, length: 0), "of nothing")
        world.model.limit(bytesPerSecond: 5)
        try await eventually("both were handed on") { fill.demands.count == 1 && fill.limits.count == 1 }
        #expect(fill.demands == [[1, 4096, 8192]] && fill.limits == [5])
        world.model.release(hold)
        try await world.end(fill)
    }

    // MARK: Losses

    @Test func `a chunk that is lost while a fill runs is told at its end`() async throws {
        let world = try World()
        #expect(world.model.needsFill(), "nothing has come")
        let started = world.fill()
        let fill = try #require(started)
        try await world.end(fill)
        let again = world.fill()
        #expect(!world.model.needsFill(), "the fill hears of it itself")
        try await world.end(try #require(again))
        #expect(world.ends.hasLost.withLock { $0 } == [false, true])
    }

    @Test func `files that change, are complete or have failed need no fill`() throws {
        let world = try World()
        world.model.updateBegins()
        #expect(!world.model.needsFill())
        world.model.updateEnded()
        try world.complete(0)
        world.files[1].fail(reason: "the store is away")
        #expect(!world.model.needsFill())
        try world.damage(0)
        #expect(world.model.needsFill())
    }

    // MARK: Failures

    @Test func `failed files are tried again at once, but not at each opening while the others are filled`() async throws {
        let world = try World()
        let now = ContinuousClock.now
        #expect(world.model.mayRevive(now: now) && world.model.mayRevive(now: now))
        let started = world.fill()
        #expect(!world.model.mayRevive(now: now + OpenModel.revivalInterval - .seconds(1)))
        #expect(world.model.mayRevive(now: now + OpenModel.revivalInterval))
        #expect(!world.model.mayRevive(now: now + OpenModel.revivalInterval + .seconds(1)), "counted from the last try")
        try await world.end(try #require(started))
        #expect(world.model.mayRevive(now: now + OpenModel.revivalInterval + .seconds(1)))
    }

    @Test(arguments: [
        (.noBytes, .endpointUnreachable), (.wrongContent, .contentMismatch), (.cache(.mediumFull(path: "x")), .insufficientCapacity),
        (.cache(.stale(key: "x", chunk: 0)), .volumeFailed), (nil, .storeError),
    ] as [(FillFailure?, AgentErrorCode)])
    func `the code of a failed file is that of the fill's failure`(failure: FillFailure?, code: AgentErrorCode) async throws {
        let world = try World()
        let started = world.fill()
        let fill = try #require(started)
        #expect(world.model.failureCode == nil && !world.model.hasFailed)
        world.files[0].fail(reason: "it failed")
        try await world.end(fill, failure)
        #expect(world.model.failureCode == code && world.model.hasFailed)
        let status = world.model.status(now: 0)
        #expect(status.phase == .failed && status.message == "it failed" && status.reason == code.rawValue)
    }

    @Test func `a model of which one file failed is failed once nothing more comes`() async throws {
        let world = try World()
        let started = world.fill()
        let fill = try #require(started)
        world.files[0].fail(reason: "it failed")
        #expect(world.model.status(now: 0).phase == .filling)
        try world.complete(1)
        #expect(world.model.status(now: 0).phase == .failed && world.model.isFilling)
        try await world.end(fill)
        world.files[0].resume()
        try world.complete(0)
        #expect(world.model.status(now: 0).phase == .complete && world.model.failureCode == nil)
    }

    @Test func `a model needs no new fill when only files' own failures keep it from being complete`() async throws {
        let world = try World(["x", "y"])
        #expect(!world.model.needsNoNewFill, "nobody fills it")
        let started = world.fill()
        #expect(world.model.needsNoNewFill)
        world.files[0].fail(reason: "archived", alone: true)
        #expect(world.model.needsNoNewFill, "the other one arrives")
        try await world.end(try #require(started))
        #expect(!world.model.needsNoNewFill, "the other one is missing")
        try world.complete(1)
        #expect(world.model.needsNoNewFill)
        world.files[0].resume()
        world.files[0].fail(reason: "the keys were refused")
        #expect(!world.model.needsNoNewFill, "other keys may do")
        world.files[0].resume()
        try world.complete(0)
        #expect(world.model.needsNoNewFill)
    }

    @Test func `files that wait for bytes hear that nothing more comes, and others stay`() throws {
        let world = try World(["x", "y", "z"])
        try world.complete(0)
        world.files[1].fail(reason: "it failed before")
        world.model.failFilling(reason: "nothing more comes")
        #expect(world.files.map(\.state) == [.complete, .failed, .failed])
        #expect(world.files.map(\.message) == ["", "it failed before", "nothing more comes"])
    }

    // MARK: Names

    /// Something else has the name of the second file, which is there.
    private func takeName(_ world: World) throws -> String {
        let foreign = "\(world.model.cached.directory)/y"
        try Data("precious".utf8).write(to: URL(fileURLWithPath: foreign))
        try world.receive(1)
        #expect(throws: ChunkStoreError.nameTaken(path: foreign)) { try world.files[1].complete() }
        world.files[1].fail(reason: "its name is taken")
        return foreign
    }

    @Test func `a file that waits for its name is published once that is free, which is told once`() async throws {
        let world = try World()
        try world.complete(0)
        let foreign = try takeName(world)
        #expect(world.model.failureCode == .volumeFailed)
        let told = Atomic(0)
        func look() { world.model.publishWithFreeNames(logger: logger) { told.wrappingAdd(1, ordering: .relaxed) } }
        look()
        // Both threads have done what they had.
        let busy = await BusyThreads(.completion)
        busy.release()
        #expect(world.files[1].state == .failed && told.load(ordering: .relaxed) == 0)
        try FileManager.default.removeItem(atPath: foreign)
        let files = world.files
        try await eventually("it is published") {
            look()
            return files[1].state == .complete && told.load(ordering: .relaxed) > 0
        }
        look()
        #expect(told.load(ordering: .relaxed) == 1 && world.model.isComplete)
    }

    @Test func `a node serves what it has until the file that got its name is served too`() async throws {
        let world = try World()
        let peers = world.folder.file("peers")
        try "".write(toFile: peers, atomically: true, encoding: .utf8)
        let swarm = try Swarm(
            SwarmConfiguration(peers: .file(peers), listen: PeerAddress(host: "127.0.0.1", port: 0)),
            secrets: { [Array("a secret of thirty-two bytes, at least".utf8)] }, logger: logger)
        try await swarm.start()
        let link = PeerLink(swarm: swarm, engine: world.engine, pool: world.pool)
        let limits = FillLimits(maximumTransfers: 1)
        let foreign = "\(world.model.cached.directory)/y"
        try Data("precious".utf8).write(to: URL(fileURLWithPath: foreign))
        try world.complete(0)
        try world.receive(1)
        let fill = SwarmFill(
            model: world.model.cached, client: world.client, swarm: swarm, peerEngine: world.engine, pool: world.pool,
            limits: limits, logger: logger)
        let ended = Flag()
        world.model.fill(
            client: world.client, lease: World.Lease(), engine: ObjectIdentifier(world.engine),
            ended: { _ in ended.isSet.store(true, ordering: .relaxed) }
        ) { fill }
        try await eventually("the fill has ended") { ended.isSet.load(ordering: .relaxed) }
        let model = world.model
        try await eventually("the other file is served") { await model.swarmReport()?.heldBlocks ?? 0 > 0 }
        let before = try #require(await model.swarmReport())
        try FileManager.default.removeItem(atPath: foreign)
        let told = Flag()
        try await eventually("the file is published") {
            model.publishWithFreeNames(logger: logger) { told.isSet.store(true, ordering: .relaxed) }
            return told.isSet.load(ordering: .relaxed)
        }
        // The successor cannot read what is here as long as they are busy.
        let busy = await BusyThreads(.completion)
        model.share(peers: link, limits: limits, logger: logger)
        let meanwhile = try #require(await model.swarmReport())
        #expect(meanwhile.heldBlocks >= before.heldBlocks)
        busy.release()
        try await eventually("all is served") { await model.swarmReport()?.heldBlocks == before.blocks }
        await model.stopFill()
        #expect(await model.swarmReport() == nil)
        await swarm.shutDown()
    }

    @Test func `no name is looked at while the files change`() async throws {
        let world = try World()
        let foreign = try takeName(world)
        try FileManager.default.removeItem(atPath: foreign)
        world.model.updateBegins()
        world.model.publishWithFreeNames(logger: logger) {}
        // Both threads have done what they had.
        let busy = await BusyThreads(.completion)
        busy.release()
        #expect(world.files[1].state == .failed)
        world.model.updateEnded()
        world.model.publishWithFreeNames(logger: logger) {}
        let file = world.files[1]
        try await eventually("it is published") { file.state == .complete }
    }

    // MARK: Notices

    @Test func `a subscriber hears at once, at every change, and nothing after it left`() throws {
        let world = try World()
        let heard = Atomic(0)
        let subscriber = ObjectIdentifier(world)
        world.model.subscribe(subscriber) { heard.wrappingAdd(1, ordering: .relaxed) }
        #expect(heard.load(ordering: .relaxed) == 1)
        try world.receive(0)
        #expect(heard.load(ordering: .relaxed) == 1 + world.files[0].chunkCount)
        world.model.unsubscribe(subscriber)
        try world.receive(1)
        #expect(heard.load(ordering: .relaxed) == 1 + world.files[0].chunkCount)
    }

    // MARK: Readers

    @Test func `a pod's start ends with the last file, in whatever order files come`() async throws {
        let world = try World(["x", "y", "z"])
        let book = ReaderBook()
        let pod = CallerPod(name: "llama-0", uid: "u")
        let reader = book.opens(pod, cache: "c", ReaderArrival(milliseconds: 1, instant: .now))
        let hold = world.hold().read(by: reader)
        func start() throws -> ReaderStart { try #require(book.starts(ofCache: "c").first) }
        #expect(try start().firstByteMilliseconds == nil)
        #expect(hold.demand(file: 1, offset: 0, length: 1))
        for place in [1, 0] { try world.complete(place) }
        #expect(try start().firstByteMilliseconds != nil && start().completeMilliseconds == nil)
        // One that was complete is not any more.
        try world.damage(0)
        try world.complete(2)
        #expect(try start().completeMilliseconds == nil)
        try world.complete(0)
        #expect(try start().completeMilliseconds != nil && start().endedMilliseconds == nil)
        reader.leaves(hold)
        #expect(try start().endedMilliseconds != nil)
        world.model.release(hold)
    }
}
