import ChunkStore
import ChunkStoreTestSupport
import DevStore
import Foundation
import Logging
import Models
import Swarm
import TestSupport
import Testing

/// Nodes and a store in one process: registries on one root after the other, and the emulator.
private final class World: Sendable {
    static let objectBytes = 6 << 20
    let folder: TemporaryFolder
    let store: StoreServer
    let port: Int

    init() async throws {
        folder = try TemporaryFolder("registry")
        for name in ["bucket", "bucket/m", "root"] { try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true) }
        var configuration = StoreConfiguration()
        configuration.buckets = [try #require(BucketTree(name: "models", directory: folder.file("bucket")))]
        store = StoreServer(service: StoreService(configuration), threads: 1, bandwidth: nil, accessLog: nil)
        port = try await store.listen(host: "127.0.0.1", port: 0)
    }

    /// The object's bytes from now on.
    @discardableResult
    func put(_ name: String, _ fill: UInt8, prefix: String = "m") throws -> Data {
        let data = Data((0..<Self.objectBytes).map { UInt8(truncatingIfNeeded: $0 >> 12) ^ fill })
        try FileManager.default.createDirectory(atPath: folder.file("bucket/\(prefix)"), withIntermediateDirectories: true)
        try data.write(to: URL(fileURLWithPath: folder.file("bucket/\(prefix)/\(name)")), options: .atomic)
        return data
    }

    func registry() throws -> ModelRegistry {
        let options = RegistryOptions(root: folder.file("root"), receiveThreads: 1)
        let root = try CacheDirectory(root: options.root, .models, medium: MediumOptions(preference: .directory))
        return ModelRegistry(
            options: options, root: root, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            audit: AuditLog(nil))
    }

    /// Of this node alone.
    func swarm() async throws -> Swarm {
        let peers = folder.file("peers")
        try "".write(toFile: peers, atomically: true, encoding: .utf8)
        let swarm = try Swarm(
            SwarmConfiguration(peers: .file(peers), listen: PeerAddress(host: "127.0.0.1", port: 0)),
            secrets: { [Array("a secret of thirty-two bytes, at least".utf8)] },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await swarm.start()
        return swarm
    }

    func hold(_ registry: ModelRegistry, prefix: String = "m") async throws -> ModelHold {
        try await registry.open(["OSS_PATH": "oss://models/\(prefix)/", "OSS_ENDPOINT": "http://127.0.0.1:\(port)"])
    }

    func open(_ registry: ModelRegistry, prefix: String = "m") async throws -> ModelHold {
        let held = try await hold(registry, prefix: prefix)
        try await eventually("the model is complete") { held.model.cached.files.allSatisfy { $0.state == .complete } }
        return held
    }

    /// One caller's way through: an opening that is cut off by an eviction is refused with the reason.
    func useOrEvict(_ registry: ModelRegistry, _ random: inout SeededRandom) async throws {
        if random.chance(1, of: 4) {
            for status in await registry.modelStatuses {
                do throws(AgentFailure) { _ = try await registry.evict(status.id, force: true) } catch {
                    // Another one was quicker.
                    #expect(error.code == .notFound, "\(error)")
                }
            }
            return
        }
        let held: ModelHold
        do {
            held = try await hold(registry)
        } catch let error as AgentFailure {
            return #expect(error.code == .unreachable && error.message.contains("evicted"), "\(error)")
        }
        for _ in 0..<3 {
            let offset = UInt64.random(in: 0..<UInt64(Self.objectBytes), using: &random)
            #expect(held.demand(file: UInt32.random(in: 0...2, using: &random), offset: offset, length: 1))
        }
        if random.chance(1, of: 2) {
            let file = held.model.cached.files[0]
            try await eventually("the file comes, or it is evicted") { file.state != .filling || file.missingChunks().isEmpty }
        }
        registry.release(held)
    }

    /// A byte of the second chunk changes, and the check finds it.
    func damage(_ held: ModelHold) throws {
        let file = try #require(held.model.cached.files.first)
        try #require(file.chunkCount > 1)
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: held.model.cached.directory + "/x"))
        try handle.seek(toOffset: file.range(ofChunk: 1).lowerBound + 5)
        try handle.write(contentsOf: [0xee])
        try handle.close()
        #expect(file.check(1, blockBytes: file.chunkBytes) == .wrong)
    }

    func read(_ held: ModelHold) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: held.model.cached.directory + "/x")) }
}

@Suite struct RegistryTests {
    @Test func `a chunk that goes bad beside a reader is fetched again without a new opening`() async throws {
        let world = try await World()
        let data = try world.put("x", 1)
        let registry = try world.registry()
        let held = try await world.open(registry)
        try await eventually("the first fill has ended") { !held.model.isFilling }
        try world.damage(held)
        try await eventually("the file is complete again") { held.model.cached.files[0].state == .complete }
        #expect(try world.read(held) == data)
        let chunk = held.model.cached.files[0].range(ofChunk: 1)
        #expect(held.model.status(now: 0).originBytes == Int64(data.count + chunk.count), "the chunk alone is fetched")
        registry.release(held)
        await registry.close()
        await world.store.shutDown()
    }

    @Test func `a chunk that goes bad and cannot be fetched ends the wait with the reason`() async throws {
        let world = try await World()
        try world.put("x", 1)
        let registry = try world.registry()
        let held = try await world.open(registry)
        try await eventually("the first fill has ended") { !held.model.isFilling }
        try FileManager.default.removeItem(atPath: world.folder.file("bucket/m/x"))
        try world.damage(held)
        let file = held.model.cached.files[0]
        try await eventually("the file has failed") { file.state == .failed }
        #expect(file.message.contains("x"), "\(file.message)")
        registry.release(held)
        await registry.close()
        await world.store.shutDown()
    }

    @Test func `without a reader a bad chunk waits for the next opening`() async throws {
        let world = try await World()
        let data = try world.put("x", 1)
        let registry = try world.registry()
        let held = try await world.open(registry)
        try await eventually("the first fill has ended") { !held.model.isFilling }
        registry.release(held)
        try world.damage(held)
        #expect(held.model.cached.files[0].missingChunks() == [1])
        let again = try await world.open(registry)
        #expect(again.model === held.model)
        #expect(try world.read(again) == data)
        registry.release(again)
        await registry.close()
        await world.store.shutDown()
    }

    @Test func `a file whose name something else has is told, and published when that is moved away`() async throws {
        let world = try await World()
        try world.put("x", 1)
        let former = try world.registry()
        let first = try await world.open(former)
        let directory = first.model.cached.directory
        former.release(first)
        await former.close()
        let (foreign, aside) = ("\(directory)/y", world.folder.file("aside"))
        try Data("precious".utf8).write(to: URL(fileURLWithPath: foreign))
        try world.put("y", 2)
        try world.put("z", 3)
        let registry = try world.registry()
        let held = try await world.hold(registry)
        let model = held.model
        func file(_ key: String) throws -> CachedFile { try #require(model.cached.files.first { $0.key == key }) }
        let (y, z) = (try file("y"), try file("z"))
        try await eventually("it is told, and the other file is complete") { y.state == .failed && z.state == .complete }
        let status = model.status(now: 0)
        #expect(status.reason == "VolumeFailed")
        #expect(status.message?.contains(foreign) == true && status.message?.contains("move it away") == true)
        await registry.tick()
        try FileManager.default.moveItem(atPath: foreign, toPath: aside)
        try await eventually("it is published") {
            await registry.tick()
            return y.state == .complete
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: foreign)).count == World.objectBytes)
        #expect(try Data(contentsOf: URL(fileURLWithPath: aside)) == Data("precious".utf8))
        #expect(model.status(now: 0).message == nil)
        registry.release(held)
        await registry.close()
        await world.store.shutDown()
    }

    @Test(arguments: [true, false])
    func `a file that is published once its name is free is offered to other nodes`(atStart: Bool) async throws {
        let world = try await World()
        try world.put("x", 1)
        let former = try world.registry()
        let first = try await world.open(former)
        let directory = first.model.cached.directory
        former.release(first)
        await former.close()
        // Of a file that an earlier agent had published, or of one that is new.
        let foreign = "\(directory)/\(atStart ? "x" : "y")"
        if atStart { try FileManager.default.removeItem(atPath: foreign) } else { try world.put("y", 2) }
        try Data("precious".utf8).write(to: URL(fileURLWithPath: foreign))
        let registry = try world.registry()
        let swarm = try await world.swarm()
        try await registry.join(swarm)
        let held = atStart ? nil : try await world.hold(registry)
        try await eventually("the name is told as taken") { await registry.modelStatuses.first?.reason == "VolumeFailed" }
        try await eventually("nothing is filled") { held?.model.isFilling != true }
        try FileManager.default.removeItem(atPath: foreign)
        try await eventually("all of it is offered") {
            await registry.tick()
            let report = await registry.swarmReports().first
            return report.map { $0.heldBlocks == $0.blocks } == true
        }
        if let held { registry.release(held) }
        await registry.close()
        await world.store.shutDown()
    }

    @Test func `an eviction by force does not wait for the check of a file`() async throws {
        let world = try await World()
        let data = try world.put("x", 1)
        let registry = try world.registry()
        let busy = await BusyThreads(.completion)
        let held = try await world.hold(registry)
        let file = held.model.cached.files[0]
        try await eventually("every chunk is there") { file.missingChunks().isEmpty }
        #expect(try await registry.evict(held.model.cached.id, force: true) == [held.model.cached.id])
        #expect(file.state == .failed && file.message.contains("evicted"), "\(file.message)")
        #expect(await registry.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: held.model.cached.directory))
        registry.release(held)
        busy.release()
        let again = try await world.open(registry)
        #expect(try world.read(again) == data)
        registry.release(again)
        await registry.close()
        await world.store.shutDown()
    }

    @Test(arguments: [false, true])
    func `a second version fetches what differs, and the first may be evicted while it is read`(isEvicted: Bool) async throws {
        let world = try await World()
        try world.put("x", 1)
        try world.put("y", 2)
        let first = try world.put("x", 1, prefix: "n")
        let other = try world.put("y", 3, prefix: "n")
        let registry = try world.registry()
        let former = try await world.open(registry)
        try await eventually("the first fill has ended") { !former.model.isFilling }
        registry.release(former)
        let usage = former.model.cached.usage
        let busy = await BusyThreads(.copies)
        let held = try await world.hold(registry, prefix: "n")
        #expect(former.model.cached.usage == usage, "to be copied is no use by a reader")
        if isEvicted {
            #expect(try await registry.evict(former.model.cached.id, force: false) == [former.model.cached.id])
        }
        busy.release()
        try await eventually("the model is complete") { held.model.cached.files.allSatisfy { $0.state == .complete } }
        #expect(try world.read(held) == first)
        #expect(try Data(contentsOf: URL(fileURLWithPath: held.model.cached.directory + "/y")) == other)
        try await eventually("the fill has ended") { !held.model.isFilling }
        let status = held.model.status(now: 0)
        let copied = isEvicted ? 0 : Int64(first.count)
        #expect(status.originBytes == Int64(first.count + other.count) - copied && status.copiedBytes == copied)
        registry.release(held)
        await registry.close()
        await world.store.shutDown()
    }

    @Test func `openings, demands, releases and evictions in any order leave a model that opens`() async throws {
        for seed in SeededRandom.seeds(3) {
            let world = try await World()
            let data = try world.put("x", 1)
            try world.put("y", 2)
            let registry = try world.registry()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        var random = SeededRandom(seed: seed &* 100 &+ UInt64(number))
                        for _ in 0..<20 { try await world.useOrEvict(registry, &random) }
                    }
                }
                try await group.waitForAll()
            }
            let held = try await world.open(registry)
            #expect(try world.read(held) == data, "seed \(seed)")
            registry.release(held)
            let status = try #require(await registry.modelStatuses.first)
            #expect(status.users == 0, "seed \(seed)")
            try await eventually("nothing is staged, seed \(seed)") { await registry.capacity().inFlightBytes == 0 }
            #expect(try await registry.evict(status.id, force: false) == [status.id], "seed \(seed)")
            #expect(await registry.isEmpty, "seed \(seed)")
            await registry.close()
            await world.store.shutDown()
        }
    }

    @Test func `a model that the start could not take up is updated when the source has changed meanwhile`() async throws {
        let world = try await World()
        let kept = try world.put("x", 1)
        try world.put("y", 2)
        let first = try world.registry()
        let held = try await world.open(first)
        let directory = held.model.cached.directory
        first.release(held)
        await first.close()
        // As a lack of descriptors does it: the presence file cannot be read at the start, and can be later.
        let presence = directory + "/.presence/x"
        try FileManager.default.moveItem(atPath: presence, toPath: world.folder.file("aside"))
        try FileManager.default.createDirectory(atPath: presence, withIntermediateDirectories: false)
        let second = try world.registry()
        #expect(await second.modelStatuses.isEmpty)
        try FileManager.default.removeItem(atPath: presence)
        try FileManager.default.moveItem(atPath: world.folder.file("aside"), toPath: presence)
        let replaced = try world.put("y", 3)
        let again = try await world.open(second)
        #expect(try world.read(again) == kept)
        #expect(try Data(contentsOf: URL(fileURLWithPath: directory + "/y")) == replaced)
        #expect(again.model.status(now: 0).originBytes == Int64(replaced.count), "what stands is not read again")
        second.release(again)
        await second.close()
        await world.store.shutDown()
    }
}
