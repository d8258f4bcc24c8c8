import ChunkStore
import Foundation
import TestSupport
import Testing

/// A listing that changed: the unit is the file.
@Suite(.serialized) struct UpdateTests {
    let pool = StagingPool(limitBytes: 8 << 20)
    private static let one = pattern(5 << 20, seed: 1)
    private static let two = pattern(3 << 20, seed: 2)
    private static let three = pattern(2 << 20, seed: 3)

    private static func listing(_ files: [(key: String, bytes: [UInt8], etag: String)], modified: Int64? = nil) throws
        -> Manifest
    {
        try Manifest(
            identity: identity,
            files: files.map {
                ManifestFile(
                    key: $0.key, size: UInt64($0.bytes.count), etag: $0.etag, checksums: .init(crc64: crc($0.bytes)),
                    lastModified: modified)
            }, chunkBytes: 2 << 20)
    }
    private static func before() throws -> Manifest {
        try listing([("kept", one, "1"), ("d/replaced", one, "1"), ("e/retired", two, "1")])
    }
    private static func after() throws -> Manifest {
        try listing([("added", two, "1"), ("kept", one, "1"), ("d/replaced", two, "2")])
    }

    private func root(_ scratch: Scratch, _ preference: MediumOptions.Preference = .directory) throws -> CacheDirectory {
        try CacheDirectory(root: scratch.path, .models, medium: .init(preference: preference))
    }

    private func inode(_ path: String) throws -> UInt64? {
        try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? UInt64
    }

    private func file(_ model: CachedModel, _ key: String) throws -> CachedFile {
        try #require(model.files.first { $0.key == key })
    }

    @Test func `what stands keeps chunks, inode and name, what changed is begun anew`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try UpdateTests.before())
        let (kept, replaced, retired) = (
            try file(model, "kept"), try file(model, "d/replaced"), try file(model, "e/retired")
        )
        try fillAll(kept, from: UpdateTests.one, pool: pool)
        #expect(try kept.complete() == .published(.verified))
        try fill(replaced, 0, from: UpdateTests.one, pool: pool)
        let former = model.current
        let number = try inode(model.directory + "/kept")

        let change = try model.update(to: try UpdateTests.after())
        #expect(change == SetChange(added: ["added"], kept: ["kept"], replaced: ["d/replaced"], retired: ["e/retired"]))
        #expect(model.current.number == 2 && model.files.map(\.key) == ["added", "d/replaced", "kept"])
        #expect(try file(model, "kept") === kept && kept.state == .complete)
        #expect(try inode(model.directory + "/kept") == number)
        let new = try file(model, "d/replaced")
        #expect(new !== replaced && new.receivedChunks == 0 && new.size == UInt64(UpdateTests.two.count))
        #expect(
            Set(model.files.map(\.fileIndex) + [replaced.fileIndex, retired.fileIndex]).count == 5,
            "no number is used again")
        #expect(model.manifest.files.map(\.replacedInSet) == [0, 2, 0])
        #expect(replaced.state == .failed && replaced.message.contains("d/replaced was replaced at the source"))
        #expect(retired.state == .failed && retired.message.contains("e/retired was deleted at the source"))
        #expect(replaced.isVisible(0), "what was shown stays readable to who has it open")
        for gone in ["/e", "/.partial/e", "/.presence/e"] { #expect(!exists(model.directory + gone), "\(gone)") }
        #expect(
            former.files.count == 3 && former.position(ofFileIndex: retired.fileIndex) == 1, "a fill's own set stands")
        #expect(throws: ChunkStoreError.stale(key: "e/retired", chunk: 0)) { try retired.beginChunk(0, pool: pool) }
        try fillAll(new, from: UpdateTests.two, pool: pool)
        #expect(try new.complete() == .published(.verified))
        #expect(try read(model.directory + "/d/replaced") == UpdateTests.two)
    }

    @Test func `a complete file that goes stays readable through what is open, and its names are gone`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try UpdateTests.before())
        let retired = try file(model, "e/retired")
        try fillAll(retired, from: UpdateTests.two, pool: pool)
        _ = try retired.complete()
        let reader = try #require(FileHandle(forReadingAtPath: model.directory + "/e/retired"))
        try model.update(to: try UpdateTests.after())
        #expect(retired.state == .complete && !exists(model.directory + "/e"))
        #expect(try reader.readToEnd() == Data(UpdateTests.two))
    }

    @Test func `a listing with other times alone changes nothing`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let m = try UpdateTests.listing([("x", UpdateTests.one, "1")], modified: 5)
        let model = try root.open(m)
        let again = try UpdateTests.listing([("x", UpdateTests.one, "1")], modified: 6)
        #expect(try model.update(to: again).isEmpty && model.current.number == 1)
        #expect(try root.open(again) === model)
        #expect(try root.open(try UpdateTests.after()) === model, "opening is no update")
        #expect(model.current.number == 1)
    }

    @Test func `a key that went and comes back is no first version`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try UpdateTests.listing([("a", UpdateTests.one, "1"), ("b", UpdateTests.two, "1")]))
        try model.update(to: try UpdateTests.listing([("b", UpdateTests.two, "1")]))
        try model.update(
            to: try UpdateTests.listing([
                ("a", UpdateTests.three, "2"), ("b", UpdateTests.two, "1"), ("c", UpdateTests.two, "1"),
            ]))
        #expect(
            model.manifest.files.map(\.replacedInSet) == [3, 0, 0] && model.manifest.files.map(\.index) == [2, 1, 3])
    }

    @Test func `a file becomes a directory and a directory a file`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(
            try UpdateTests.listing([("a", UpdateTests.one, "1"), ("b/c/d", UpdateTests.two, "1")]))
        for file in model.files {
            try fillAll(file, from: file.key == "a" ? UpdateTests.one : UpdateTests.two, pool: pool)
            _ = try file.complete()
        }
        try model.update(to: try UpdateTests.listing([("a/x", UpdateTests.one, "1"), ("b", UpdateTests.two, "1")]))
        for file in model.files {
            try fillAll(file, from: file.key == "b" ? UpdateTests.two : UpdateTests.one, pool: pool)
            _ = try file.complete()
        }
        #expect(
            try read(model.directory + "/a/x") == UpdateTests.one && read(model.directory + "/b") == UpdateTests.two)
    }

    @Test func `a mount grows with its model, and where there is no memory the former set stays`() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .mount, hugePages: false))
        defer { root.close() }
        let model = try root.open(try UpdateTests.listing([("x", UpdateTests.three, "1")]))
        let large = pattern(200 << 20)
        try model.update(to: try UpdateTests.listing([("x", UpdateTests.three, "1"), ("y", large, "1")]))
        try fillAll(try file(model, "y"), from: large, pool: pool)
        #expect(try file(model, "y").complete() == .published(.verified))
    }

    @Test func `an update that cannot be made leaves the former set`() throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try UpdateTests.before())
        try fill(try file(model, "d/replaced"), 1, from: UpdateTests.one, pool: pool)
        // A directory in the way of the manifest's new text.
        try scratch.make("/models/\(model.id)/.modelcache/manifest.json.new/x")
        #expect(throws: ChunkStoreError.self) { try model.update(to: try UpdateTests.after()) }
        #expect(model.current.number == 1 && !model.isClosed)
        #expect(try file(model, "d/replaced").isReceived(1))
        #expect(!exists(model.directory + "/.modelcache/staged/3"))
        try FileManager.default.removeItem(atPath: model.directory + "/.modelcache/manifest.json.new")
        #expect(try !model.update(to: try UpdateTests.after()).isEmpty)
    }

    @Test(arguments: ["d", "e"]) func `an update that an error keeps from taking names is finished by the next opening`(
        _ name: String
    ) throws {
        let scratch = Scratch()
        let root = try root(scratch)
        defer { root.close() }
        let model = try root.open(try UpdateTests.before())
        for file in model.files {
            try fillAll(file, from: file.key == "e/retired" ? UpdateTests.two : UpdateTests.one, pool: pool)
            _ = try file.complete()
        }
        var frozen: FrozenFolder? = try FrozenFolder("\(model.directory)/\(name)")
        #expect(throws: ChunkStoreError.self) {
            try model.update(to: try UpdateTests.after()) { if $0 == .described { frozen?.freeze() } }
        }
        #expect(model.isClosed)
        frozen = nil
        let again = try root.open(try UpdateTests.after())
        #expect(again.manifest.files.map(\.key) == ["added", "d/replaced", "kept"] && !exists(again.directory + "/e"))
        let replaced = try file(again, "d/replaced")
        try fillAll(replaced, from: UpdateTests.two, pool: pool)
        #expect(try replaced.complete() == .published(.verified))
        #expect(try read(again.directory + "/d/replaced") == UpdateTests.two)
    }

    @Test(arguments: SeededRandom.seeds(12)) func `random listings and restarts keep what stands and nothing else`(
        _ seed: UInt64
    ) async throws {
        var random = SeededRandom(seed: seed)
        let scratch = Scratch()
        var root = try root(scratch)
        defer { root.close() }
        let keys = ["a", "b/c", "b/d", "e/f/g", "h"]
        let contents = [UpdateTests.one, UpdateTests.two, UpdateTests.three]
        var listed: [String: Int] = ["a": 0]
        func manifest() throws -> Manifest {
            try UpdateTests.listing(
                listed.sorted { $0.key < $1.key }.map { ($0.key, contents[$0.value], "\($0.value)") })
        }
        var received: [String: Set<Int>] = [:]
        var indexes: [String: UInt32] = [:]
        _ = try root.open(try manifest())
        for step in 0..<40 {
            let why: Comment = "seed \(seed), step \(step)"
            var model = try #require(root.model(for: identity))
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let former = listed
                for key in keys where random.chance(1, of: 3) {
                    listed[key] = random.chance(1, of: 3) ? nil : Int.random(in: 0..<3, using: &random)
                }
                if listed.isEmpty { listed = former }
                try model.update(to: try manifest())
                for key in keys where listed[key] != former[key] {
                    received[key] = nil
                    indexes[key] = nil
                }
            case 1:
                root.close()
                root = try self.root(scratch)
                model = try #require(root.model(for: identity))
                await model.checked()
            default:
                let file = try #require(model.files.randomElement(using: &random))
                guard let chunk = file.missingChunks().randomElement(using: &random), let content = listed[file.key]
                else { continue }
                if try fill(file, chunk, from: contents[content], pool: pool) { _ = try file.complete() }
                received[file.key, default: []].insert(chunk)
            }
            #expect(Set(model.files.map(\.key)) == Set(listed.keys), why)
            for file in model.files {
                #expect(Set((0..<file.chunkCount).filter(file.isReceived)) == received[file.key] ?? [], why)
                #expect(exists(model.directory + "/" + file.key) == (file.receivedChunks == file.chunkCount), why)
                if let index = indexes[file.key] { #expect(index == file.fileIndex, why) }
                indexes[file.key] = file.fileIndex
            }
            for key in keys where listed[key] == nil { #expect(!exists(model.directory + "/.partial/" + key), why) }
        }
    }

    // MARK: Killed in the middle

    private static let variable = "MODELCACHE_TEST_KILLED_UPDATE"
    private static let child = ProcessInfo.processInfo.environment[variable]

    /// The child: `<step> <root>`.
    @Test(.enabled(if: child != nil)) func theChildIsKilledInAnUpdate() throws {
        let words = try #require(UpdateTests.child).split(separator: " ", maxSplits: 1).map(String.init)
        let step = try #require(UpdateStep(rawValue: words[0]))
        let root = try CacheDirectory(root: words[1], .models, medium: .init(preference: .disk))
        defer { root.close() }
        let model = try #require(root.model(for: identity))
        _ = try model.update(to: try UpdateTests.after()) { if $0 == step { kill(getpid(), SIGKILL) } }
    }

    @Test(.enabled(if: child == nil), arguments: UpdateStep.allCases)
    func `a kill at any step leaves the former set or the new one`(_ step: UpdateStep) async throws {
        let scratch = Scratch()
        do {
            let root = try root(scratch, .disk)
            defer { root.close() }
            let model = try root.open(try UpdateTests.before())
            for file in model.files {
                try fillAll(file, from: file.key == "e/retired" ? UpdateTests.two : UpdateTests.one, pool: pool)
                _ = try file.complete()
            }
        }
        let run = Process()
        run.executableURL = URL(
            fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        run.arguments = ["--testing-library", "swift-testing", "--filter", "theChildIsKilledInAnUpdate"]
        run.environment = ProcessInfo.processInfo.environment.merging([
            UpdateTests.variable: "\(step.rawValue) \(scratch.path)"
        ]) { $1 }
        run.standardOutput = FileHandle.nullDevice
        run.standardError = FileHandle.nullDevice
        try run.run()
        run.waitUntilExit()
        try #require(run.terminationReason == .uncaughtSignal, "the child did not run")

        let root = try root(scratch, .disk)
        defer { root.close() }
        let model = try #require(root.model(for: identity))
        await model.checked()
        let isOld = step == .staged
        #expect(
            model.files.map(\.key) == (isOld ? ["d/replaced", "e/retired", "kept"] : ["added", "d/replaced", "kept"]))
        #expect(try read(model.directory + "/kept") == UpdateTests.one)
        #expect(exists(model.directory + "/d/replaced") == isOld && exists(model.directory + "/e/retired") == isOld)
        if isOld { #expect(try read(model.directory + "/d/replaced") == UpdateTests.one) }
        #expect(
            exists(model.directory + "/.partial/e/retired") == isOld
                && exists(model.directory + "/.presence/e/retired") == isOld)
        #expect(!exists(model.directory + "/.modelcache/staged"))
        #expect(try model.update(to: try UpdateTests.after()).isEmpty == !isOld)
        for file in model.files where file.key != "kept" {
            #expect(file.receivedChunks == 0)
            try fillAll(file, from: UpdateTests.two, pool: pool)
            #expect(try file.complete() == .published(.verified))
        }
        #expect(try read(model.directory + "/d/replaced") == UpdateTests.two)
    }
}
