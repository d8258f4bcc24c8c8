import ChunkStore
import Foundation
import Testing

/// Volumes on plain directories: what a mount adds is in Tests/System/test_cache_readers.py.
@Suite struct VolumeTests {
    let pool = StagingPool(limitBytes: 4 << 20)
    let bytes = pattern(5 << 20)
    let definition = Data("anything".utf8)

    private func volumes(_ scratch: Scratch) throws -> CacheVolumes {
        try CacheVolumes(root: scratch.path, medium: .init(preference: .directory), takesLock: true)
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

    @Test func theLimitLeavesRoomForRoundingAndNoMore() {
        for bytes: UInt64 in [0, 1, 1 << 30, 700 << 30, .max] {
            let limit = CacheVolume.limitBytes(forModelBytes: bytes)
            #expect(limit % (2 << 20) == 0 && limit >= min(bytes, 1 << 60) + (64 << 20))
            #expect(limit <= min(bytes, 1 << 60) / 200 * 201 + (70 << 20))
        }
    }
}
