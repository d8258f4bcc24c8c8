import Agent
import Foundation
import Glibc
import TextCoding

/// Checks this machine: kernel, memory, permissions.
enum MachineChecks {
    static func all(root: String, environment: [String: String]) -> [Finding] {
        [
            kernel(), userfault(), hugePages(), memory(), sharedMemory(root), mounting(), writable(root), memlock(),
            library(environment),
        ]
    }

    static func kernel() -> Finding {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let parts = release.split(separator: ".").prefix(2).compactMap { Int($0.prefix { $0.isNumber }) }
        guard parts.count == 2 else { return .warning("kernel", release, "its version could not be read") }
        // UFFD_FEATURE_MINOR_SHMEM came with Linux 5.14.
        return parts[0] > 5 || (parts[0] == 5 && parts[1] >= 14)
            ? .good("kernel", "\(release): mapped files can be read while they arrive")
            : .warning(
                "kernel", "\(release): before 5.14",
                "programs that map files wait in mmap until the range is there; start llama.cpp with --no-mmap, or use a "
                    + "newer kernel, to start sooner")
    }

    static func userfault() -> Finding {
        let device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)
        if device >= 0 {
            close(device)
            return .good("userfaultfd", "/dev/userfaultfd can be opened and handed to clients")
        }
        let setting = (try? String(contentsOfFile: "/proc/sys/vm/unprivileged_userfaultfd", encoding: .utf8))?
            .trimmingCharacters(in: .whitespacesAndNewlines)
        if setting == "1" { return .good("userfaultfd", "vm.unprivileged_userfaultfd is 1") }
        return .warning(
            "userfaultfd", "/dev/userfaultfd cannot be opened (\(String(cString: strerror(errno))))",
            "run the agent as root, or allow it: chmod a+rw /dev/userfaultfd or sysctl vm.unprivileged_userfaultfd=1; "
                + "until then mmap waits for complete ranges")
    }

    static func hugePages() -> Finding {
        let path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        guard let open = text.firstIndex(of: "["), let end = text.firstIndex(of: "]") else {
            return .warning(
                "huge pages", "no transparent huge pages for tmpfs",
                "build the kernel with CONFIG_TRANSPARENT_HUGEPAGE; the cache fills about three times faster with them")
        }
        let mode = text[text.index(after: open)..<end]
        return mode == "deny"
            ? .warning(
                "huge pages", "\(path) is deny",
                "write never, advise or always to it; a mount with huge=always then works")
            : .good("huge pages", "tmpfs mounts may use huge=always")
    }

    static func memory() -> Finding {
        let text = KernelText.read("/proc/meminfo") ?? ""
        let available = (KernelText.number("MemAvailable", in: text).map { Int64(clamping: $0) } ?? 0) * 1024
        var fact = "\(ByteCount.format(available)) available: the largest model that fits in memory"
        for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
            if let limit = KernelText.number(path).map({ Int64(clamping: $0) }), limit < available {
                fact = "\(ByteCount.format(limit)) by the cgroup's limit"
                return limit < 1 << 30
                    ? .bad("memory", fact, "raise the memory limit to the model's size and 1 GiB")
                    : .good("memory", fact)
            }
        }
        return available < 1 << 30 ? .bad("memory", fact, "free memory, or use --medium disk") : .good("memory", fact)
    }

    static func sharedMemory(_ root: String) -> Finding {
        var figures = statvfs()
        guard root.hasPrefix("/dev/shm"), statvfs("/dev/shm", &figures) == 0 else {
            return .good("/dev/shm", "not used by the cache")
        }
        let size = Int64(figures.f_blocks) * Int64(figures.f_frsize)
        return size <= 64 << 20
            ? .bad(
                "/dev/shm", "\(ByteCount.format(size)), the container default",
                "give the container more (--shm-size, or an emptyDir of medium Memory), "
                    + "or set MODELCACHE_ROOT to another folder")
            : .good("/dev/shm", ByteCount.format(size))
    }

    static func mounting() -> Finding {
        let status = KernelText.read("/proc/self/status") ?? ""
        let effective = KernelText.number("CapEff", in: status, radix: 16) ?? 0
        // CAP_SYS_ADMIN is bit 21, linux/capability.h.
        return effective & (1 << 21) != 0
            ? .good("mounting", "the agent can mount a tmpfs for each model")
            : .warning(
                "mounting", "CAP_SYS_ADMIN is missing",
                "the cache uses its folder as it is, without huge pages unless that is a tmpfs mounted with huge=always; "
                    + "run the agent as root to change that")
    }

    static func writable(_ root: String) -> Finding {
        var folder = root
        while folder.count > 1, access(folder, F_OK) != 0 { folder = (folder as NSString).deletingLastPathComponent }
        return access(folder, W_OK) == 0
            ? .good("cache folder", folder == root ? "\(root) can be written" : "\(root) can be made")
            : .bad(
                "cache folder", "\(folder): \(String(cString: strerror(errno)))",
                "set MODELCACHE_ROOT to a folder you may write")
    }

    static func memlock() -> Finding {
        // RLIMIT_MEMLOCK, getrlimit(2); Swift's importer does not see the macro.
        let lockedMemory = __rlimit_resource_t(8)
        var limit = rlimit()
        getrlimit(lockedMemory, &limit)
        if geteuid() == 0 || limit.rlim_cur == rlim_t.max {
            return .good("memlock", "llama.cpp's --mlock can lock a model")
        }
        return .warning(
            "memlock", "limited to \(ByteCount.format(Int64(clamping: limit.rlim_cur)))",
            "raise ulimit -l if you use --mlock")
    }

    static func library(_ environment: [String: String]) -> Finding {
        do {
            return .good("preload library", try RunVerb.library(environment))
        } catch {
            return .bad("preload library", "\(error)", "install lib/libossc_preload.so beside bin/")
        }
    }
}
