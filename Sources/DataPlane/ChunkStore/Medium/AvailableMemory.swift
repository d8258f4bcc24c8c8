internal import TextCoding

/// How much memory this process can have: what the machine has, less where a control group of ours or one above it says
/// so.
///
/// Pages of a tmpfs are charged to the group of the process that writes them first and cannot be reclaimed, so a cache
/// that counted on the machine's memory alone would be killed at its group's limit. See cgroups(7) and the kernel's
/// admin-guide/cgroup-v2 and cgroup-v1/memory.
package struct AvailableMemory: Sendable, Hashable {
    package var totalBytes: UInt64
    package var freeBytes: UInt64

    package init(totalBytes: UInt64, freeBytes: UInt64) {
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
    }

    /// nil: there is no /proc. `below` is put before every path, for tests.
    package static func read(below top: String = "") -> AvailableMemory? {
        guard let text = KernelText.read("\(top)/proc/meminfo"),
            let total = KernelText.number("MemTotal", in: text), let free = KernelText.number("MemAvailable", in: text)
        else { return nil }
        var memory = AvailableMemory(totalBytes: total * 1024, freeBytes: free * 1024)
        for group in MemoryGroup.all(below: top) {
            guard let limit = group.limitBytes else { continue }
            memory.totalBytes = min(memory.totalBytes, limit)
            let held = group.heldBytes
            memory.freeBytes = min(memory.freeBytes, limit > held ? limit - held : 0)
        }
        return memory
    }
}

/// One control group with a memory controller.
private struct MemoryGroup {
    enum Version { case one, two }
    let version: Version
    let directory: String

    /// nil: no limit. Version 1 says "no limit" as a number larger than any machine.
    var limitBytes: UInt64? {
        KernelText.number(directory + (version == .one ? "/memory.limit_in_bytes" : "/memory.max"))
    }

    /// Usage less the page cache that nobody used lately, which the kernel gives up first.
    var heldBytes: UInt64 {
        let usage = KernelText.number(directory + (version == .one ? "/memory.usage_in_bytes" : "/memory.current")) ?? 0
        let statistics = KernelText.read(directory + "/memory.stat") ?? ""
        let idle = KernelText.number(version == .one ? "total_inactive_file" : "inactive_file", in: statistics) ?? 0
        return usage - min(usage, idle)
    }

    /// This process's group and all above it that show here, of both versions.
    static func all(below top: String) -> [MemoryGroup] {
        guard let own = KernelText.read("\(top)/proc/self/cgroup"),
            let table = MountTable.read("\(top)/proc/self/mountinfo")
        else { return [] }
        var groups: [MemoryGroup] = []
        for line in own.split(separator: "\n") {
            // "4:memory:/a/b", or "0::/a/b" in version 2.
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let version: Version
            let mount: MountTable.Entry?
            if fields[1].split(separator: ",").contains("memory") {
                version = .one
                mount = table.entries.last { $0.type == "cgroup" && $0.options.contains("memory") }
            } else if fields[0] == "0" && fields[1].isEmpty {
                version = .two
                mount = table.entries.last { $0.type == "cgroup2" }
            } else {
                continue
            }
            guard let mount else { continue }
            groups += chain(path: String(fields[2]), mount: mount).map {
                MemoryGroup(version: version, directory: top + $0)
            }
        }
        return groups
    }

    /// Directories from the mount point down to the group. In a container the mount may begin at the group itself
    /// (`mount.root`), or the path may lead out of what is mounted; then the mount point is the best there is.
    private static func chain(path: String, mount: MountTable.Entry) -> [String] {
        var components = path.split(separator: "/")
        let root = mount.root.split(separator: "/")
        if components.starts(with: root) { components.removeFirst(root.count) } else { components = [] }
        if components.contains("..") { components = [] }
        var directory = mount.point
        return [directory]
            + components.map { component in
                directory += "/\(component)"
                return directory
            }
    }
}
