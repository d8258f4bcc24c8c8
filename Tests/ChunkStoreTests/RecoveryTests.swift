import ChunkStore
import Foundation
import Logging
import Synchronization
import Testing

/// What a start finds after every kind of end.
@Suite struct RecoveryTests {
    let pool = StagingPool(limitBytes: 4 << 20)
    let bytes = pattern(6 << 20)

    /// The steps of making a model's directory, in their order; a crash after each.
    private static let steps = ["", "/.modelcache", "/.modelcache/marker.new", "/.modelcache/marker", "/.partial", "/.presence"]

    @Test(arguments: steps.indices, [MediumOptions.Preference.directory, .automatic])
    func aDirectoryLeftHalfMadeIsMadeAnew(_ last: Int, _ preference: MediumOptions.Preference) throws {
        let scratch = Scratch()
        let whole = Scratch()
        let m = try manifest([("d/x", bytes)])
        do {
            let root = try CacheDirectory(root: whole.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            _ = try root.open(m)
        }
        let root: CacheDirectory
        if preference == .directory {
            for step in RecoveryTests.steps[...last] {
                if step.hasSuffix("marker.new") {
                    try scratch.write("model", to: "/models/\(identity.directoryName)" + step)
                } else if step.hasSuffix("marker") {
                    try FileManager.default.removeItem(atPath: scratch.model + step + ".new")
                    try FileManager.default.copyItem(atPath: whole.model + step, toPath: scratch.model + step)
                } else {
                    try scratch.make("/models/\(identity.directoryName)" + step)
                }
            }
            root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: preference))
        } else {
            // The same after the start, and on a mount of ours that has no marker yet.
            root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: preference))
            try scratch.make("/models/\(identity.directoryName)")
            try #require(mount("modelcache", scratch.model, "tmpfs", 0, nil) == 0, "this test needs to mount")
        }
        defer { root.close() }
        let model = try root.open(m)
        try fillAll(model.files[0], from: bytes, pool: pool)
        #expect(try model.files[0].complete() == .published(.verified))
        try root.evict(model)
        #expect(!exists(scratch.model))
    }

    @Test func aCopyTakenAtAnyMomentOfAFillOpensWithNothingButTrueChunks() async throws {
        let scratch = Scratch()
        let m = try manifest([("d/x", bytes)])
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        let model = try root.open(m)
        let file = model.files[0]
        let actions: [() throws -> Void] = [
            {},
            { try fill(file, 2, from: bytes, pool: pool) },
            { let writer = try #require(try file.beginChunk(0, pool: pool))
              try bytes[..<(1 << 20)].withUnsafeBytes { try writer.append($0) } },
            { try fillAll(file, from: bytes, pool: pool) },
            { _ = try file.complete() },
            { file.invalidate(reason: "test") },
            { try fill(file, 1, from: bytes, pool: pool) },
        ]
        for (index, action) in actions.enumerated() {
            try action()
            let copy = Scratch()
            let run = Process()
            run.executableURL = URL(fileURLWithPath: "/bin/cp")
            run.arguments = ["-a", scratch.path, copy.path]
            try run.run()
            run.waitUntilExit()
            let again = try CacheDirectory(root: copy.path, .models, medium: .init(preference: .directory))
            defer { again.close() }
            let twin = try #require(again.model(for: identity))
            await twin.checked()
            #expect(try receivedAndRight(twin, twin.files[0], bytes) == Set((0..<3).filter(file.isReceived)), "step \(index)")
            #expect((twin.files[0].state == .complete) == (file.state == .complete) && twin.files[0].epoch == file.epoch)
            #expect(exists(twin.directory + "/d/x") == exists(model.directory + "/d/x"))
            try fillAll(twin.files[0], from: bytes, pool: pool)
            #expect(try twin.files[0].complete() == .published(.verified))
        }
    }

    @Test func aModelThatCannotBeReadSaysWhyAndIsKept() throws {
        let scratch = Scratch()
        let m = try manifest([("x", bytes)])
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            try fill(try root.open(m).files[0], 1, from: bytes, pool: pool)
        }
        let presence = scratch.model + "/.presence/x"
        try FileManager.default.moveItem(atPath: presence, toPath: scratch.path + "/aside")
        try scratch.make("/models/\(identity.directoryName)/.presence/x")
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        #expect(root.models.isEmpty)
        #expect(throws: ChunkStoreError.io(operation: "open", path: presence, errno: EISDIR)) { try root.open(m) }
        try FileManager.default.removeItem(atPath: presence)
        try FileManager.default.moveItem(atPath: scratch.path + "/aside", toPath: presence)
        #expect(try root.open(m).files[0].missingChunks() == [0, 2], "what was received is there once it can be read")
    }

    @Test func `a model that is found late keeps its chunks, and an update makes its files the new ones`() throws {
        let scratch = Scratch()
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
            defer { root.close() }
            try fill(try root.open(try manifest([("x", bytes)])).files[0], 1, from: bytes, pool: pool)
        }
        let aside = scratch.path + "/aside"
        try FileManager.default.moveItem(atPath: scratch.model, toPath: aside)
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .directory))
        defer { root.close() }
        try FileManager.default.moveItem(atPath: aside, toPath: scratch.model)
        let new = try manifest([("x", bytes), ("y", bytes)])
        let model = try root.open(new)
        #expect(model.manifest.files.map(\.key) == ["x"] && model === root.model(for: identity))
        #expect(try model.update(to: new).added == ["y"])
        #expect(model.files[0].isReceived(1) && model.files.map(\.key) == ["x", "y"])
    }

    @Test(arguments: ["", "{", "another"])
    func aModelWithADamagedManifestIsMadeAnew(_ text: String) throws {
        let scratch = Scratch()
        let m = try manifest([("x", bytes)])
        do {
            let root = try CacheDirectory(root: scratch.path, .models)
            defer { root.close() }
            _ = try root.open(m)
        }
        let path = "/models/\(identity.directoryName)/.modelcache/manifest.json"
        if text == "another" {
            let other = SourceIdentity(endpoint: "https://other", bucket: "b", prefix: "")
            try scratch.write(String(decoding: try Manifest(identity: other, files: []).encoded(), as: UTF8.self), to: path)
        } else {
            try scratch.write(text, to: path)
        }
        let root = try CacheDirectory(root: scratch.path, .models)
        defer { root.close() }
        #expect(root.models.isEmpty && !exists(scratch.model))
        #expect(try root.open(m).files[0].receivedChunks == 0)
    }

    @Test func aHalfDeletedModelAndAStrayProbeGoAtTheStart() throws {
        let scratch = Scratch()
        try scratch.write("half", to: "/models/.evicting-1/x")
        try scratch.make("/models/.mount-probe")
        try #require(mount("modelcache", scratch.path + "/models/.mount-probe", "tmpfs", 0, nil) == 0, "this test needs to mount")
        let root = try CacheDirectory(root: scratch.path, .models)
        defer { root.close() }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/models").isEmpty)
    }

    @Test func aForeignMountInTheWayIsNeitherUnmountedNorUsed() throws {
        let scratch = Scratch()
        try scratch.make("/models/\(identity.directoryName)")
        try #require(mount("volume", scratch.model, "tmpfs", 0, nil) == 0, "this test needs to mount")
        for _ in 0..<2 {
            let root = try CacheDirectory(root: scratch.path, .models)
            defer { root.close() }
            #expect(throws: ChunkStoreError.notOurs(path: scratch.model)) { try root.open(try manifest([("x", bytes)])) }
        }
        #expect(umount(scratch.model) == 0, "still mounted")
    }

    @Test func aFullTmpfsAtCloseLosesNothing() throws {
        let scratch = Scratch()
        let medium = MediumOptions(preference: .mount, hugePages: false, mountLimitBytes: 5 << 20)
        let m = try manifest([("x", bytes)])
        var received = Set<Int>()
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: medium)
            defer { root.close() }
            let model = try root.open(m)
            for chunk in 0..<3 {
                do { try fill(model.files[0], chunk, from: bytes, pool: pool) } catch ChunkStoreError.mediumFull {}
            }
            try model.setPinned(true)
            fillUp(scratch.model)
            received = try receivedAndRight(model, model.files[0], bytes)
            #expect(received.count == 2)
        }
        for _ in 0..<2 {
            let root = try CacheDirectory(root: scratch.path, .models, medium: medium)
            defer { root.close() }
            let model = try #require(root.model(for: identity))
            #expect(try receivedAndRight(model, model.files[0], bytes) == received && model.usage.pinned)
        }
        let root = try CacheDirectory(root: scratch.path, .models, medium: medium)
        defer { root.close() }
        try root.evict(try #require(root.model(for: identity)))
        #expect(!exists(scratch.model))
    }

    @Test func aFullDiskAtCloseLosesNothing() async throws {
        let scratch = Scratch()
        try scratch.make()
        try #require(mount("disk", scratch.path, "tmpfs", 0, "size=5m") == 0, "this test needs to mount")
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        let m = try manifest([("x", bytes)])
        var received = Set<Int>()
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .disk))
            defer { root.close() }
            let model = try root.open(m)
            for chunk in 0..<3 {
                do { try fill(model.files[0], chunk, from: bytes, pool: pool) } catch ChunkStoreError.mediumFull {}
            }
            fillUp(scratch.model)
            received = try receivedAndRight(model, model.files[0], bytes)
            #expect(received.count == 2)
        }
        for _ in 0..<2 {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .disk))
            defer { root.close() }
            let model = try #require(root.model(for: identity))
            await model.checked()
            #expect(try receivedAndRight(model, model.files[0], bytes) == received)
        }
    }

    @Test func aMediumTooSmallForThePresenceFilesIsAnErrorNotASignal() throws {
        let scratch = Scratch()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .mount, hugePages: false, mountLimitBytes: 128 << 10))
        defer { root.close() }
        let m = try manifest((0..<60).map { ("shard-\($0)", [UInt8](repeating: 1, count: 10)) })
        #expect { try root.open(m) } throws: { error in
            if case .mediumFull? = error as? ChunkStoreError { true } else { false }
        }
        #expect(!exists(scratch.model), "nothing of it stays")
    }

    @Test func `the check after a start is logged`() async throws {
        let scratch = Scratch()
        let m = try manifest([("x", bytes)])
        do {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .disk))
            defer { root.close() }
            try fillAll(try root.open(m).files[0], from: bytes, pool: pool)
        }
        let lines = Lines()
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .disk), logger: Logger(label: "test") { _ in Recorder(lines: lines) })
        defer { root.close() }
        await root.model(for: identity)?.checked()
        let said = lines.all.withLock { $0 }
        #expect(said.count == 2 && said[0].contains("totalBytes=6291456"))
        #expect(said.last.map { $0.contains("model checked") && $0.contains("checkedBytes=6291456") } == true)
    }

    /// Takes the last page.
    private func fillUp(_ directory: String) {
        let fd = open(directory + "/.modelcache/junk", O_CREAT | O_WRONLY, 0o600)
        defer { close(fd) }
        let page = [UInt8](repeating: 1, count: 4096)
        while write(fd, page, page.count) > 0 {}
        #expect(errno == ENOSPC)
    }
}

private final class Lines: Sendable {
    let all = Mutex<[String]>([])
}

private struct Recorder: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info
    init(lines: Lines) { self.lines = lines }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).map { "\($0)=\($1)" }.sorted().joined(separator: " ")
        lines.all.withLock { $0.append("\(event.message) \(fields)") }
    }
}
