import ChunkStore
import Checksum
import Dispatch
import Foundation
import Synchronization
import Testing
import TestSupport

/// Others change a file in the middle of its verification, whose thread waits for them meanwhile: none of them may wait
/// for the verification.
@Suite struct ChangesWhileVerifyingTests {
    private let bytes = pattern((5 << 20) + 11, seed: 3)
    private let pool = StagingPool(limitBytes: 4 << 20)

    private struct World {
        let scratch = Scratch()
        let root: CacheDirectory
        let model: CachedModel
        var file: CachedFile { model.files[0] }

        init(_ bytes: [UInt8], _ checksums: ObjectChecksums? = nil) throws {
            root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            let entry = ManifestFile(
                key: "x", size: UInt64(bytes.count), etag: "e",
                checksums: checksums ?? .init(crc64nvme: mc_crc64nvme(0, bytes, bytes.count)))
            model = try root.open(try Manifest(identity: identity, files: [entry], chunkBytes: 2 << 20))
        }
    }

    /// Verifies the file; at the second piece `change` runs on another thread, and the verification goes on after it.
    ///
    /// - Returns: the result, and how many pieces were read.
    private func verify(
        _ file: CachedFile, while change: @escaping @Sendable () throws -> Void
    ) throws -> (result: Result<Completion, ChunkStoreError>, looks: Int) {
        let looks = Mutex(0)
        let failure = Mutex<(any Error)?>(nil)
        let stop = WorkStop {
            guard looks.withLock({ $0 += 1; return $0 }) == 2 else { return }
            let done = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                do { try change() } catch { failure.withLock { $0 = error } }
                done.signal()
            }
            if done.wait(timeout: .now() + 60) == .timedOut { failure.withLock { $0 = NeverHappened(description: "it waits for the verification") } }
        }
        let result = Result { () throws(ChunkStoreError) in try file.complete(until: stop) }
        if let failure = failure.withLock({ $0 }) { throw failure }
        return (result, looks.withLock { $0 })
    }

    private func isStale(_ result: Result<Completion, ChunkStoreError>) -> Bool {
        if case .failure(.stale) = result { true } else { false }
    }

    @Test func `a file that fails meanwhile stays failed and gets no name`() throws {
        let world = try World(bytes)
        let file = world.file
        try fillAll(file, from: bytes, pool: pool)
        let (result, _) = try verify(file) { file.fail(reason: "evicted") }
        #expect(isStale(result) && file.state == .failed && file.message == "evicted")
        #expect(!exists(world.scratch.model + "/x"))
        // Taken back, it is verified as if nothing had been.
        file.resume()
        #expect(try file.complete() == .published(.verified))
        #expect(try read(world.scratch.model + "/x") == bytes)
        world.root.close()
    }

    @Test func `a model that is evicted meanwhile is gone, and the next one of its name is not touched`() throws {
        let world = try World(bytes)
        let file = world.file
        try fillAll(file, from: bytes, pool: pool)
        let next = Mutex<CachedModel?>(nil)
        let (root, evicted) = (world.root, world.model)
        let (result, _) = try verify(file) {
            try root.evict(evicted)
            let model = try root.open(evicted.manifest)
            next.withLock { $0 = model }
        }
        #expect(isStale(result))
        let model = try #require(next.withLock { $0 })
        #expect(!exists(world.scratch.model + "/x") && model.files[0].receivedChunks == 0)
        try fillAll(model.files[0], from: bytes, pool: pool)
        #expect(try model.files[0].complete() == .published(.verified))
        world.root.close()
    }

    @Test func `a chunk that is lost and fetched again meanwhile is verified with the others`() throws {
        let world = try World(bytes)
        let file = world.file
        try fillAll(file, from: bytes, pool: pool)
        let path = world.scratch.model + "/.partial/x"
        let (result, looks) = try verify(file) { [bytes, pool] in
            // A piece that was read is damaged.
            let data = try FileHandle(forUpdating: URL(filePath: path))
            try data.write(contentsOf: [bytes[0] ^ 1])
            try data.close()
            #expect(file.check(0, blockBytes: file.chunkBytes / 2) == .wrong)
            try fill(file, 0, from: bytes, pool: pool)
        }
        #expect(try result.get() == .published(.verified))
        #expect(looks == 6, "every piece is read twice")
        #expect(try read(world.scratch.model + "/x") == bytes)
        world.root.close()
    }

    @Test func `a chunk that is lost meanwhile leaves the file incomplete`() throws {
        let world = try World(bytes)
        let file = world.file
        try fillAll(file, from: bytes, pool: pool)
        let (result, _) = try verify(file) { file.invalidate(reason: "wrong") }
        guard case .failure(.notComplete(key: "x", missingChunks: 3)) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(!exists(world.scratch.model + "/x"))
        world.root.close()
    }

    @Test func `a verification that is stopped leaves the file as it is`() throws {
        for checksums in [
            ObjectChecksums(crc64nvme: mc_crc64nvme(0, bytes, bytes.count)), .init(crc32: mc_crc32(0, bytes, bytes.count)),
            .init(crc32c: 1), .init(sha1: "00"), .init(sha256: "00"), .init(md5: "00"),
            .init(md5: "00", parts: PartDigest(kind: .sha256, digest: "00", sizes: [UInt64(bytes.count)])),
        ] {
            let world = try World(bytes, checksums)
            let file = world.file
            try fillAll(file, from: bytes, pool: pool)
            let stop = WorkStop()
            stop.stop()
            #expect(isStale(Result { () throws(ChunkStoreError) in try file.complete(until: stop) }))
            #expect(file.state == .filling && file.epoch == 1 && file.receivedChunks == 3 && !exists(world.scratch.model + "/x"))
            world.root.close()
        }
    }
}
