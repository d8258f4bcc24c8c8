import ChunkStore
import Foundation
import Testing

/// Volumes on plain directories: what a mount adds is in Tests/System/test_cache_readers.py.
@Suite struct VolumeTests {
    let pool = StagingPool(limitBytes: 4 << 20)
    let bytes = pattern(5 << 20)
    let definition = Data("anything".utf8)

    private func volumes(_ scratch: Scratch) throws -> CacheDirectory {
        try CacheDirectory(root: scratch.path, .caches, medium: .init(preference: .directory))
    }

    @Test func aVolumeComesBackWithItsDefinitionAndItsChunks() throws {
        let scratch = Scratch()
        do {
            let volumes = try volumes(scratch)
            defer { volumes.close() }
            let volume = try volumes.prepare("a", definition: definition, modelBytes: 5 << 20)
            #expect(volume.model == nil && volume.directory == scratch.path + "/caches/a")
            try fill(try volume.open(try manifest([("x", bytes)])).files[0], 1, from: bytes, pool: pool)
        }
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        let volume = try #require(volumes.all.first)
        #expect(volumes.all.count == 1 && volume.name == "a")
        #expect(try volume.readDefinition() == definition)
        #expect(volume.model?.files[0].isReceived(1) == true && volume.model?.files[0].isReceived(0) == false)
    }

    @Test func aDropLeavesTheVolumeAndAReaderItsPages() throws {
        let scratch = Scratch()
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        let volume = try volumes.prepare("a", definition: definition, modelBytes: 5 << 20)
        let model = try volume.open(try manifest([("d/x", bytes)]))
        try fillAll(model.files[0], from: bytes, pool: pool)
        _ = try model.files[0].complete()
        let reader = try #require(FileHandle(forReadingAtPath: volume.directory + "/d/x"))
        try volume.drop()
        #expect(volume.model == nil && exists(volume.directory))
        #expect(try FileManager.default.contentsOfDirectory(atPath: volume.directory) == [".modelcache"])
        #expect(try volume.readDefinition() == definition)
        #expect(try reader.readToEnd() == Data(bytes))
        #expect(try volume.open(try manifest([("d/x", bytes)])).statistics.receivedBytes == 0)
    }

    @Test(arguments: ["no manifest", "a bad manifest", "no definition", "no marker", "damaged"])
    func whatACrashLeavesIsFinishedOrRemoved(what: String) throws {
        let scratch = Scratch()
        var state = ""
        let kept = scratch.path + "/definitions/a.json"
        do {
            let volumes = try volumes(scratch)
            defer { volumes.close() }
            let volume = try volumes.prepare("a", definition: definition, modelBytes: 5 << 20)
            try fillAll(try volume.open(try manifest([("x", bytes)])).files[0], from: bytes, pool: pool)
            state = volume.directory + "/.modelcache"
        }
        switch what {
        case "no manifest": try FileManager.default.removeItem(atPath: state + "/manifest.json")
        case "a bad manifest": try Data("{".utf8).write(to: URL(fileURLWithPath: state + "/manifest.json"))
        case "no definition": try FileManager.default.removeItem(atPath: kept)
        case "damaged": try FileManager.default.moveItem(atPath: kept, toPath: kept + ".damaged")
        default: try FileManager.default.removeItem(atPath: state + "/marker")
        }
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        switch what {
        case "no manifest", "a bad manifest":
            let volume = try #require(volumes.all.first)
            #expect(volume.model == nil)
            #expect(try FileManager.default.contentsOfDirectory(atPath: volume.directory) == [".modelcache"])
        case "no definition": #expect(volumes.all.isEmpty && !exists(scratch.path + "/caches/a"))
        // Not known to be ours any more: nothing is deleted.
        case "no marker": #expect(volumes.all.isEmpty && exists(scratch.path + "/caches/a/.partial/x"))
        default:
            #expect(volumes.all.isEmpty && exists(scratch.path + "/caches/a"))
            let again = try volumes.prepare("a", definition: definition, modelBytes: 5 << 20)
            #expect(again.model?.statistics.receivedBytes == UInt64(bytes.count))
        }
    }

    @Test func `too few descriptors erase nothing, at whatever call they run out`() async throws {
        let scratch = Scratch()
        let m = try manifest([("d/x", bytes), ("y", bytes)])
        do {
            let volumes = try volumes(scratch)
            defer { volumes.close() }
            let model = try volumes.prepare("a", definition: definition, modelBytes: 5 << 20).open(m)
            for file in model.files { try fillAll(file, from: bytes, pool: pool) }
        }
        var limit = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        defer { _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        for spare in 0..<14 {
            let free = open("/dev/null", O_RDONLY)
            close(free)
            var few = limit
            few.rlim_cur = rlim_t(Int(free) + spare)
            #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &few) == 0)
            let volumes = try? volumes(scratch)
            _ = try? volumes?.prepare("a", definition: definition, modelBytes: 5 << 20)
            _ = try? volumes?.all.first?.open(m)
            volumes?.close()
            #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        }
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        let model = try #require(volumes.all.first?.model)
        await model.checked()
        #expect(model.statistics.receivedBytes == UInt64(2 * bytes.count))
        #expect(try volumes.all.first?.readDefinition() == definition)
    }

    @Test func whatAPodWritesIntoItsVolumeChangesNoDefinition() throws {
        let scratch = Scratch()
        do {
            let volumes = try volumes(scratch)
            defer { volumes.close() }
            let volume = try volumes.prepare("a", definition: definition, modelBytes: 1)
            for name in ["definition.json", "definition.json.damaged", "a.json"] {
                try scratch.write("another", to: "/caches/a/.modelcache/\(name)")
            }
            for file in try FileManager.default.subpathsOfDirectory(atPath: volume.directory) {
                #expect(FileManager.default.contents(atPath: "\(volume.directory)/\(file)") != definition, "\(file)")
            }
        }
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        #expect(try volumes.all.map { try $0.readDefinition() } == [definition])
    }

    @Test func definitionsOfVolumesThatWentAreSwept() throws {
        let scratch = Scratch()
        do {
            let volumes = try volumes(scratch)
            defer { volumes.close() }
            for name in ["a", "b"] { _ = try volumes.prepare(name, definition: definition, modelBytes: 1) }
        }
        // As a tmpfs does that goes with its mount namespace.
        try FileManager.default.removeItem(atPath: scratch.path + "/caches/b")
        try scratch.write("{", to: "/definitions/c.json.new")
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        #expect(volumes.all.map(\.name) == ["a"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/definitions") == ["a.json"])
    }

    @Test func removalIsWholeAndTouchesNothingOfOthers() throws {
        let scratch = Scratch()
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        let volume = try volumes.prepare("a", definition: definition, modelBytes: 1)
        try volumes.remove(volume)
        #expect(!exists(volume.directory) && volumes.all.isEmpty && !exists(scratch.path + "/definitions/a.json"))
        try volumes.removeRemains("a")
        try scratch.write("x", to: "/caches/b/file")
        #expect(throws: ChunkStoreError.notOurs(path: scratch.path + "/caches/b")) { try volumes.removeRemains("b") }
        #expect(throws: ChunkStoreError.notOurs(path: scratch.path + "/caches/b")) {
            try volumes.prepare("b", definition: definition, modelBytes: 1)
        }
        #expect(exists(scratch.path + "/caches/b/file"))
    }

    @Test func `a removal that cannot delete is finished by the repeated order`() throws {
        let scratch = Scratch()
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        let caches = scratch.path + "/caches"
        let volume = try volumes.prepare("a", definition: definition, modelBytes: 5 << 20)
        _ = try volume.open(try manifest([("x", bytes)]))
        let frozen = try FrozenFolder(volume.directory + "/.partial")
        frozen.freeze()
        #expect(throws: ChunkStoreError.self) { try volumes.remove(volume) }
        #expect(throws: ChunkStoreError.self) { try volumes.removeRemains("a") }
        let aside = try #require(try FileManager.default.contentsOfDirectory(atPath: caches).first)
        // The mount has moved with its folder.
        umount2("\(caches)/\(aside)/.partial", Int32(MNT_DETACH))
        try volumes.removeRemains("a")
        #expect(try FileManager.default.contentsOfDirectory(atPath: caches).isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/definitions").isEmpty)
    }

    @Test func `half a removal is not taken for a cache`() throws {
        let scratch = Scratch()
        try scratch.make("/models")
        let models = try FrozenFolder(scratch.path + "/models")
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .mount, hugePages: false))
        defer { root.close() }
        let m = try manifest([("x", bytes)])
        let model = try root.open(m)
        try fillAll(model.files[0], from: bytes, pool: pool)
        // The mount goes, its directory stays.
        models.freeze()
        #expect(throws: ChunkStoreError.self) { try root.evict(model) }
        #expect(root.all.isEmpty && root.remains == [model.id])
        models.freeze(false)
        let again = try root.open(m)
        #expect(again.statistics.receivedBytes == 0 && root.all.first?.isMount == true)
        #expect(exists(again.directory + "/.modelcache/marker"), "what the next start knows it by")
        try root.evict(again)
        #expect(!exists(again.directory))
    }

    @Test func theLimitLeavesRoomForRoundingAndNoMore() {
        for bytes: UInt64 in [0, 1, 1 << 30, 700 << 30, .max] {
            let limit = CacheVolume.limitBytes(forModelBytes: bytes)
            #expect(limit % (2 << 20) == 0 && limit >= min(bytes, 1 << 60) + (64 << 20))
            #expect(limit <= min(bytes, 1 << 60) / 200 * 201 + (70 << 20))
        }
    }
}
