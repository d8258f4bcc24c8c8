import ChunkStore
import Crypto
import Foundation
import Synchronization
import Testing

@Suite struct LifecycleTests {
    let pool = StagingPool(limitBytes: 4 << 20)
    let bytes = pattern(5 << 20)

    private func root(_ scratch: Scratch, _ preference: MediumOptions.Preference = .directory) throws -> CacheDirectory {
        try CacheDirectory(root: scratch.path, .models, medium: .init(preference: preference))
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
        #expect(file.isVisible(1) && model.statistics.failedFiles == 1 && file.epoch == 1 && !file.failedAlone)
        file.resume()
        file.fail(reason: "archived", alone: true)
        #expect(file.failedAlone)
        file.resume()
        #expect(!file.failedAlone)
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

    @Test func `every change is told, and none after the model is closed`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        let model = try root.open(try manifest([("x", bytes)]))
        let file = model.files[0]
        let calls = Mutex(0)
        model.onChange { calls.withLock { $0 += 1 } }
        for chunk in 0..<3 { try fill(file, chunk, from: bytes, pool: pool) }
        #expect(calls.withLock { $0 } == 3)
        _ = try file.complete()
        #expect(calls.withLock { $0 } == 4)
        model.onChange(nil)
        file.invalidate(reason: "test")
        #expect(calls.withLock { $0 } == 4)
        model.onChange { calls.withLock { $0 += 1 } }
        root.close()
        file.invalidate(reason: "test")
        #expect(calls.withLock { $0 } == 4)
    }

    @Test func `an evicted file's pages are given back though somebody still refers to it`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        let model = try root.open(try manifest([("x", bytes)]))
        let file = model.files[0]
        try fillAll(file, from: bytes, pool: pool)
        let sent = file.openForReading()
        try #require(sent >= 0)
        func opened() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
            }.filter { $0.contains(URL(filePath: scratch.path).lastPathComponent) && $0.contains("/.partial/x") }
        }
        #expect(try opened().count == 2, "the file's own, and one to send from")
        try root.evict(model)
        // An upload that is under way goes on, and none begins.
        #expect(try opened().count == 1)
        var byte: UInt8 = 0
        #expect(pread(sent, &byte, 1, 3) == 1 && byte == bytes[3])
        close(sent)
        #expect(try opened().isEmpty && file.openForReading() == -ESTALE)
        #expect(file.check(0, blockBytes: file.chunkBytes) == .wrong && file.receivedChunks == 3, "it is nobody's loss")
        root.close()
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

    @Test func `another version of a model has no chunk of an evicted one`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let old = try root.open(try manifest([("x", bytes)]))
        let new = try Manifest(identity: identity, files: [ManifestFile(key: "x", size: 5 << 20, etag: "new")], chunkBytes: 2 << 20)
        #expect(try root.open(new) === old && old.manifest != new, "opening is no update")
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
        let taken = ChunkStoreError.nameTaken(path: model.directory + "/x")
        #expect(throws: taken) { try model.files[0].complete() }
        #expect(model.files[0].state == .filling && model.files[0].isVisible(0))
        #expect("\(taken)".contains(model.directory + "/x") && "\(taken)".contains("move it away"))
    }

    @Test(arguments: ["x", "folder/x", "folder/deep/x"])
    func `a file that failed for its name is published once that is free, and not before`(_ key: String) throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([(key, bytes)]))
        let file = model.files[0]
        // With a folder in its key, something stands where the first folder is to be.
        let foreign = "/models/\(model.id)/\(key.split(separator: "/")[0])"
        try scratch.write("precious", to: foreign)
        try fillAll(file, from: bytes, pool: pool)
        #expect(throws: ChunkStoreError.nameTaken(path: scratch.path + foreign)) { try file.complete() }
        #expect(!file.failedForItsName && file.completeWithFreeName() == nil, "it has not failed")
        file.fail(reason: "its name is taken")
        #expect(file.failedForItsName && file.completeWithFreeName() == nil && file.state == .failed)
        #expect(try read(scratch.path + foreign) == Array("precious".utf8))
        try FileManager.default.removeItem(atPath: scratch.path + foreign)
        #expect(file.completeWithFreeName() == true)
        #expect(file.state == .complete && !file.failedForItsName)
        #expect(try read(model.directory + "/" + key) == bytes)
        #expect(file.completeWithFreeName() == nil, "once")
    }

    @Test func `a file whose name is taken at a start fails for that, and is published once it is free`() async throws {
        let scratch = Scratch()
        let before = try root(scratch)
        let first = try before.open(try manifest([("x", bytes)]))
        try fillAll(first.files[0], from: bytes, pool: pool)
        _ = try first.files[0].complete()
        let name = first.directory + "/x"
        before.close()
        try FileManager.default.removeItem(atPath: name)
        try Data("precious".utf8).write(to: URL(fileURLWithPath: name))
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([("x", bytes)]))
        await model.checked()
        #expect(model.files[0].state == .failed && model.files[0].failedForItsName)
        #expect(model.files[0].message.contains(name), "\(model.files[0].message)")
        try FileManager.default.removeItem(atPath: name)
        #expect(model.files[0].completeWithFreeName() == true)
        #expect(try read(name) == bytes)
    }

    @Test func `a file that failed for another reason is not taken for one without a name`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([("x", bytes)]))
        try fillAll(model.files[0], from: bytes, pool: pool)
        model.files[0].fail(reason: "the store is away")
        #expect(!model.files[0].failedForItsName && model.files[0].completeWithFreeName() == nil)
        #expect(model.files[0].state == .failed)
    }

    @Test func `a file that waits for its name is read once, however often the name is taken again`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        var entry = ManifestFile(key: "x", size: UInt64(bytes.count), etag: "e")
        // Unlike the CRC-64 it is computed from the bytes.
        entry.checksums = .init(sha256: SHA256.hash(data: bytes).map { String(format: "%02x", $0) }.joined())
        let model = try root.open(try Manifest(identity: identity, files: [entry], chunkBytes: 2 << 20))
        let file = model.files[0]
        let foreign = "/models/\(model.id)/x"
        try scratch.write("precious", to: foreign)
        try fillAll(file, from: bytes, pool: pool)
        let taken = ChunkStoreError.nameTaken(path: scratch.path + foreign)
        #expect(throws: taken) { try file.complete() }
        // Whoever reads it again finds that it is not the object.
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: "\(model.directory)/.partial/x"))
        try handle.write(contentsOf: [bytes[0] ^ 1])
        try handle.close()
        for _ in 0..<2 {
            file.fail(reason: "its name is taken")
            #expect(file.failedForItsName)
            file.resume()
            #expect(throws: taken) { try file.complete() }
        }
        file.fail(reason: "its name is taken")
        try FileManager.default.removeItem(atPath: scratch.path + foreign)
        #expect(file.completeWithFreeName() == true && file.isVerified)
    }

    @Test func `a file that lost a chunk after its name was taken has not failed for its name`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([("x", bytes)]))
        let file = model.files[0]
        try scratch.write("precious", to: "/models/\(model.id)/x")
        try fillAll(file, from: bytes, pool: pool)
        #expect(throws: ChunkStoreError.self) { try file.complete() }
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: "\(model.directory)/.partial/x"))
        try handle.write(contentsOf: [bytes[0] ^ 1])
        try handle.close()
        #expect(file.check(0, blockBytes: file.chunkBytes) == .wrong)
        file.fail(reason: "the store is away")
        try FileManager.default.removeItem(atPath: "\(model.directory)/x")
        #expect(!file.failedForItsName && file.completeWithFreeName() == nil)
        #expect(file.state == .failed && file.message == "the store is away")
    }

    @Test func `a failure of a closed file is not taken back`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try manifest([("x", bytes)]))
        model.files[0].fail(reason: "the model was evicted")
        try root.evict(model)
        model.files[0].resume()
        #expect(model.files[0].state == .failed && model.files[0].message == "the model was evicted")
    }
}
