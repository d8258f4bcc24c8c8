import ChunkStore
import Foundation
import LinuxShim
import Testing

/// A cache's directory that a pod has mounted for writing: whatever it puts there, the agent works on nothing outside.
@Suite struct BeneathTests {
    let pool = StagingPool(limitBytes: 4 << 20)
    let bytes = pattern(3 << 20)

    private func volumes(_ scratch: Scratch) throws -> CacheDirectory {
        try CacheDirectory(root: scratch.path, .caches, medium: .init(preference: .directory))
    }

    private func symlink(_ path: String, to target: String) throws {
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    }

    /// Everything below a directory with its contents.
    private func contents(_ path: String) throws -> [String: Data] {
        var all: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
            all[name] = FileManager.default.contents(atPath: "\(path)/\(name)") ?? Data("directory".utf8)
        }
        return all
    }

    @Test(arguments: [".partial", ".partial/d", ".presence", ".presence/d", ".modelcache", "d"])
    func aLinkInTheDirectorysPlaceLeadsNowhere(name: String) throws {
        let scratch = Scratch()
        for folder in ["/victim", "/victim/d"] {
            for file in ["x", "manifest.json", "boot", "marker", "presence.new", "definition.json", "agent.sock"] {
                try scratch.write("keep \(file)", to: "\(folder)/\(file)")
            }
        }
        let before = try contents(scratch.path + "/victim")
        do {
            let volumes = try volumes(scratch)
            defer { volumes.close() }
            let volume = try volumes.prepare("a", definition: Data(), modelBytes: 3 << 20)
            let model = try volume.open(try manifest([("d/x", bytes)]))
            try symlink("\(volume.directory)/\(name)", to: scratch.path + "/victim")
            try fillAll(model.files[0], from: bytes, pool: pool)
            _ = try? model.files[0].complete()
            model.retain()
            try? model.setPinned(true)
            try? model.setPinned(false)
            model.release()
            try? volume.writeDefinition(Data("another".utf8))
        }
        // The next agent's start, a new model, and the end.
        let volumes = try volumes(scratch)
        defer { volumes.close() }
        if let volume = volumes.all.first {
            try? volume.drop()
            _ = try? volume.open(try manifest([("d/x", bytes), ("d/marker", bytes)]))
            try? volumes.remove(volume)
        } else {
            try? volumes.removeRemains("a")
        }
        #expect(try contents(scratch.path + "/victim") == before)
    }

    @Test func whatIsNoFileIsReplacedAndNeverOpened() throws {
        let scratch = Scratch()
        try scratch.write("keep", to: "/victim")
        for partial in [true, false] {
            let name = "\(scratch.path)/caches/a/\(partial ? ".partial" : ".presence")/x"
            for kind in ["link", "fifo"] {
                do {
                    let volumes = try volumes(scratch)
                    defer { volumes.close() }
                    let volume = try volumes.prepare("a", definition: Data(), modelBytes: 3 << 20)
                    try fillAll(try volume.open(try manifest([("x", bytes)])).files[0], from: bytes, pool: pool)
                }
                if kind == "link" {
                    try symlink(name, to: scratch.path + "/victim")
                } else {
                    unlink(name)
                    #expect(mkfifo(name, 0o666) == 0)
                }
                let volumes = try volumes(scratch)
                defer { volumes.close() }
                let file = try #require(volumes.all.first?.model?.files.first)
                #expect(file.receivedChunks == 0)
                try fillAll(file, from: bytes, pool: pool)
                #expect(try file.complete() == .published(.verified))
            }
        }
        #expect(try read(scratch.path + "/victim") == Array("keep".utf8))
    }

    @Test func namesThatClimbAreRefused() throws {
        let scratch = Scratch()
        try scratch.make("/top/d")
        try scratch.write("x", to: "/outside")
        let top = scratch.path + "/top"
        for name in ["../outside", "d/../../outside", ".", "..", "", "/", "d//x", "d/"] {
            #expect(mc_open_beneath(top, name, 0, 0) < 0, "\(name)")
            #expect(mc_remove_beneath(top, name) < 0, "\(name)")
        }
        #expect(exists(scratch.path + "/outside") && exists(top + "/d"))
    }

    @Test func aRemovalTakesLinksAndLeavesWhatTheyShow() throws {
        let scratch = Scratch()
        try scratch.write("keep", to: "/victim/file")
        try scratch.write("x", to: "/top/a/b/c/file")
        try symlink(scratch.path + "/top/a/b/link", to: scratch.path + "/victim")
        #expect(mc_remove_beneath(scratch.path + "/top", "a") == 0)
        #expect(mc_remove_beneath(scratch.path + "/top", "a") == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/top").isEmpty)
        #expect(exists(scratch.path + "/victim/file"))
    }

    @Test func aSocketTakesTheNameAndNotALinksTarget() throws {
        let scratch = Scratch()
        try scratch.make("/top/d")
        try scratch.write("keep", to: "/victim")
        chmod(scratch.path + "/victim", 0o600)
        try symlink(scratch.path + "/top/d/sock", to: scratch.path + "/victim")
        let listener = mc_listen_beneath(scratch.path + "/top", "d/sock", 8, 0o666)
        try #require(listener >= 0)
        defer { close(listener) }
        let client = mc_seqpacket_connect(scratch.path + "/top/d/sock", -1)
        #expect(client >= 0)
        close(client)
        var status = mc_stat()
        #expect(mc_stat_at(Int32(MC_AT_CWD), scratch.path + "/top/d/sock", &status) == 0 && status.mode == 0o666)
        #expect(mc_stat_at(Int32(MC_AT_CWD), scratch.path + "/victim", &status) == 0 && status.mode == 0o600)
        try symlink(scratch.path + "/top/e", to: scratch.path + "/top/d")
        #expect(mc_listen_beneath(scratch.path + "/top", "e/sock", 8, 0o666) == -ENOTDIR)
    }
}
