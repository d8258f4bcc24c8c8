import ChunkStore
import Foundation
import Synchronization
import Testing

@Suite struct LifecycleTests {
    let pool = StagingPool(limitBytes: 4 << 20)
    let bytes = pattern(5 << 20)

    private func root(_ scratch: Scratch, _ preference: MediumOptions.Preference = .directory) throws -> CacheRoot {
        try CacheRoot(path: scratch.path, medium: .init(preference: preference))
    }

    @Test func aFailedFileKeepsItsChunksAndMayGoOn() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([("x", bytes)]))
        let file = model.files[0]
        file.resume()
        #expect(file.state == .filling, "nothing to take back")
        try fill(file, 1, from: bytes, pool: pool)
        file.fail(reason: "access denied; check OSS_ACCESS_KEY_ID")
        #expect(file.state == .failed && file.message == "access denied; check OSS_ACCESS_KEY_ID")
        #expect(file.isVisible(1) && model.statistics.failedFiles == 1 && file.epoch == 1)
        file.resume()
        #expect(file.state == .filling && file.message.isEmpty && file.missingChunks() == [0, 2])
        try fillAll(file, from: bytes, pool: pool)
        #expect(try file.complete() == .published(.verified))
        file.fail(reason: "too late")
        #expect(file.state == .complete && exists(model.directory + "/x"))
    }

    @Test func aFailureDoesNotOutliveTheAgent() throws {
        let scratch = Scratch()
        let m = try manifest([("x", bytes)])
        do {
            let root = try root(scratch)
            defer { root.close() }
            let file = try root.open(m).files[0]
            try fill(file, 0, from: bytes, pool: pool)
            file.fail(reason: "unreachable")
        }
        let root = try root(scratch)
        defer { root.close() }
        let file = try root.open(m).files[0]
        #expect(file.state == .filling && file.message.isEmpty && file.missingChunks() == [1, 2])
    }

    @Test func everyChangeIsToldAndTheStreamEndsWithTheModel() async throws {
        let scratch = Scratch()
        let root = try root(scratch)
        let model = try root.open(try manifest([("x", bytes)]))
        let file = model.files[0]
        let calls = Mutex(0)
        let stream = model.changes()
        model.onChange { calls.withLock { $0 += 1 } }
        for chunk in 0..<3 { try fill(file, chunk, from: bytes, pool: pool) }
        #expect(calls.withLock { $0 } == 3)
        _ = try file.complete()
        #expect(calls.withLock { $0 } == 4)
        model.onChange(nil)
        file.invalidate(reason: "test")
        #expect(calls.withLock { $0 } == 4)
        root.close()
        var elements = 0
        for await _ in stream { elements += 1 }
        #expect(elements == 1, "coalesced")
        for await _ in model.changes() { Issue.record("a closed model does not change") }
    }

    @Test func pinsAndTheTimeOfUseSurviveAReopen() throws {
        let scratch = Scratch()
        let m = try manifest([("x", bytes)])
        for expected in [false, true, false] {
            let root = try root(scratch)
            defer { root.close() }
            let model = try root.open(m)
            #expect(model.usage.pinned == expected && model.usage.inUse == 0 && model.usage.bytes == 5 << 20)
            #expect(abs(model.usage.lastUsed - Int64(time(nil))) < 60)
            try model.setPinned(!expected)
            #expect(model.usage.pinned == !expected)
            try model.setPinned(!expected)
            model.retain()
            #expect(model.usage.inUse == 1)
        }
    }

    @Test func theTimeOfUseIsTheMarkersNotTheStarts() throws {
        let scratch = Scratch()
        let m = try manifest([("x", bytes)])
        do {
            let root = try root(scratch)
            defer { root.close() }
            _ = try root.open(m)
        }
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_000_000)], ofItemAtPath: scratch.model + "/.modelcache/marker")
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(m)
        #expect(model.usage.lastUsed == 1_000_000)
        model.retain()
        model.release()
        #expect(model.usage.lastUsed > 1_000_000 && model.usage.inUse == 0)
    }

    @Test func anotherVersionOfAModelIsRefusedUntilTheOldOneIsEvicted() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let old = try root.open(try manifest([("x", bytes)]))
        let new = try Manifest(identity: identity, files: [ManifestFile(key: "x", size: 5 << 20, etag: "new")], chunkBytes: 2 << 20)
        #expect(throws: ChunkStoreError.otherGeneration(directory: old.directory)) { try root.open(new) }
        #expect(try root.open(old.manifest) === old)
        // A reader of the old version keeps what it opened.
        try fillAll(old.files[0], from: bytes, pool: pool)
        _ = try old.files[0].complete()
        let reader = try FileHandle(forReadingFrom: URL(fileURLWithPath: old.directory + "/x"))
        try root.evict(old)
        #expect(try root.open(new).files[0].receivedChunks == 0)
        try root.evict(old)
        #expect(exists(old.directory) && root.model(for: identity)?.manifest == new, "a second eviction of the old is nothing")
        #expect(try reader.readToEnd().map { [UInt8]($0) } == bytes)
        try reader.close()
    }

    @Test(arguments: ["/data", "/.modelcache/other", "/.partial/keep"])
    func whatTheCacheDidNotMakeIsLeftAlone(_ name: String) throws {
        let scratch = Scratch()
        try scratch.write("precious", to: "/models/\(identity.directoryName)\(name)")
        let root = try root(scratch)
        defer { root.close() }
        #expect(throws: ChunkStoreError.notOurs(path: scratch.model)) { try root.open(try manifest([("x", bytes)])) }
        #expect(try read(scratch.model + name) == Array("precious".utf8))
    }

    @Test func aForeignFileWithAnObjectsNameIsNotReplaced() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([("x", bytes)]))
        try scratch.write("precious", to: "/models/\(model.id)/x")
        try fillAll(model.files[0], from: bytes, pool: pool)
        #expect(throws: ChunkStoreError.notOurs(path: model.directory + "/x")) { try model.files[0].complete() }
        #expect(model.files[0].state == .filling && model.files[0].isVisible(0))
    }
}
