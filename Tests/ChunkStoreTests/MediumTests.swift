import ChunkStore
import Foundation
import Testing

/// What the machine says of its memory and its mounts.
@Suite struct MediumTests {
    private let meminfo = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:   8000000 kB\n"
    private let machine = AvailableMemory(totalBytes: 16_000_000 << 10, freeBytes: 8_000_000 << 10)
    private let v2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n"

    private func measure(cgroup: String, mounts: String, _ files: [String: String]) throws -> AvailableMemory? {
        let scratch = Scratch()
        try scratch.write(meminfo, to: "/proc/meminfo")
        try scratch.write(cgroup, to: "/proc/self/cgroup")
        try scratch.write(mounts, to: "/proc/self/mountinfo")
        for (path, text) in files { try scratch.write(text, to: path) }
        return AvailableMemory.read(below: scratch.path)
    }

    @Test func withoutALimitTheMachineCounts() throws {
        #expect(AvailableMemory.read(below: "/nowhere") == nil)
        #expect(try measure(cgroup: "", mounts: "", [:]) == machine)
        #expect(try measure(cgroup: "0::/a\n", mounts: v2, ["/sys/fs/cgroup/a/memory.max": "max\n"]) == machine)
        let own = try #require(AvailableMemory.read())
        #expect(own.totalBytes > 0 && own.freeBytes <= own.totalBytes)
    }

    @Test func `a trial to mount that the medium prevented is made again`() throws {
        let (scratch, other) = (Scratch(), Scratch())
        try scratch.make("/models")
        let models = try FrozenFolder(scratch.path + "/models")
        let root = try CacheDirectory(root: scratch.path, .models)
        defer { root.close() }
        models.freeze()
        _ = try root.space()
        models.freeze(false)
        let whole = try CacheDirectory(root: other.path, .models)
        defer { whole.close() }
        #expect(try root.space().totalBytes == whole.space().totalBytes)
    }

    @Test func theTightestGroupOnTheWayUpCounts() throws {
        let files = [
            "/sys/fs/cgroup/pods/memory.max": "4000000000\n", "/sys/fs/cgroup/pods/memory.current": "3500000000\n",
            "/sys/fs/cgroup/pods/a/memory.max": "2000000000\n", "/sys/fs/cgroup/pods/a/memory.current": "700000000\n",
            "/sys/fs/cgroup/pods/a/memory.stat": "anon 5\ninactive_file 200000000\n",
        ]
        #expect(
            try measure(cgroup: "0::/pods/a\n", mounts: v2, files)
                == AvailableMemory(totalBytes: 2_000_000_000, freeBytes: 500_000_000))
    }

    @Test func aGroupOverItsLimitHasNothingFree() throws {
        let files = ["/sys/fs/cgroup/memory.max": "1000\n", "/sys/fs/cgroup/memory.current": "2000\n"]
        #expect(try measure(cgroup: "0::/\n", mounts: v2, files) == AvailableMemory(totalBytes: 1000, freeBytes: 0))
    }

    @Test func versionOneCountsTooWhenTheMountBeginsAtTheGroup() throws {
        let mounts = """
            34 31 0:31 /kubepods/pod1/c /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
            35 31 0:32 /kubepods/pod1/c /sys/fs/cgroup/memory ro,nosuid master:9 - cgroup cgroup rw,memory
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
            """
        let group = "4:cpu:/kubepods/pod1/c\n3:memory:/kubepods/pod1/c\n0::/\n"
        let files = [
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000000\n",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000000\n",
            "/sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 400000000\n",
        ]
        #expect(
            try measure(cgroup: group, mounts: mounts, files)
                == AvailableMemory(totalBytes: 3_000_000_000, freeBytes: 2_400_000_000))
        let unlimited = ["/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"]
        #expect(try measure(cgroup: group, mounts: mounts, unlimited) == machine)
    }

    @Test(arguments: ["0::/../..\n", "0::/elsewhere/../a\n", "0::garbage\n", "::\n\n:", "0::/not/there\n"])
    func aGroupThatLeadsOutOfWhatIsMountedIsTakenAtTheMountPoint(_ group: String) throws {
        let files = ["/sys/fs/cgroup/memory.max": "5000\n", "/sys/fs/cgroup/memory.current": "1000\n"]
        let memory = try measure(cgroup: group, mounts: v2, files)
        #expect(memory == (group.hasPrefix("0") ? AvailableMemory(totalBytes: 5000, freeBytes: 4000) : machine))
    }

    @Test func theMountTableKnowsWhatShowsAtAPath() {
        let table = MountTable(
            text: """
                30 1 8:1 / / rw shared:1 - ext4 /dev/vda1 rw
                60 30 0:50 / /run/a\\040b rw,nosuid shared:2 master:1 - tmpfs modelcache rw,size=1k
                61 60 0:51 /sub /run/a\\040b rw - ext4 /dev/vdb rw
                62 30 0:52 / /run/c\\134d rw - tmpfs modelcache rw
                a line of another form
                63 30 0:52 / /short
                """)
        #expect(table.entries.count == 4)
        #expect(table.mount(at: "/run/a b")?.source == "/dev/vdb" && table.mount(at: "/run/a b")?.root == "/sub")
        #expect(table.mount(at: "/run/c\\d")?.type == "tmpfs" && table.mount(at: "/run") == nil)
        #expect(table.mount(at: "/")?.options == ["rw"])
    }

    @Test func theSpaceIsTheMemorysOrTheFileSystems() throws {
        let scratch = Scratch()
        try scratch.make()
        try #require(mount("small", scratch.path, "tmpfs", 0, "size=8m") == 0, "this test needs to mount")
        defer { umount2(scratch.path, Int32(MNT_DETACH)) }
        for preference in [MediumOptions.Preference.directory, .disk] {
            let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: preference))
            defer { root.close() }
            let space = try root.space()
            #expect(space.totalBytes == 8 << 20 && space.freeBytes <= 8 << 20 && space.freeBytes > 7 << 20)
        }
        let root = try CacheDirectory(root: scratch.path, .models, medium: .init(preference: .automatic))
        defer { root.close() }
        #expect(try root.space().totalBytes > 8 << 20)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/models").isEmpty, "no trace of the trial mount")
    }
}
