internal import Foundation
internal import Glibc
internal import TextCoding

/// Memory, processor time and descriptors of this process, under the names that every Prometheus client uses.
/// <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>
public enum ProcessMetrics {
    /// Registers the metrics. Each exposition reads /proc/self again; a value that cannot be read stays as it was.
    public static func register(in registry: MetricsRegistry) {
        let resident = registry.gauge("process_resident_memory_bytes", help: "Resident memory size in bytes.")[]
        let virtual = registry.gauge("process_virtual_memory_bytes", help: "Virtual memory size in bytes.")[]
        let processor = registry.counter(
            "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds.")[]
        let start = registry.gauge(
            "process_start_time_seconds", help: "Start time of the process since unix epoch in seconds.")[]
        let open = registry.gauge("process_open_fds", help: "Number of open file descriptors.")[]
        let most = registry.gauge("process_max_fds", help: "Maximum number of open file descriptors.")[]
        registry.onCollect {
            if let stat = ProcessStat.read() {
                resident.set(stat.residentBytes)
                virtual.set(stat.virtualBytes)
                processor.increment(by: max(0, stat.processorSeconds - processor.value))
                if let boot = bootTime() { start.set(boot + stat.startSecondsAfterBoot) }
            }
            if let names = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
                open.set(Double(names.count))
            }
            var limit = rlimit()
            if getrlimit(__rlimit_resource_t(7), &limit) == 0 { most.set(Double(limit.rlim_cur)) }
        }
    }

    /// Unix seconds at which the kernel started, from /proc/stat.
    private static func bootTime() -> Double? {
        KernelText.read("/proc/stat").flatMap { KernelText.number("btime", in: $0) }.map { Double($0) }
    }
}

/// The fields of /proc/self/stat (proc(5)).
struct ProcessStat {
    let processorSeconds: Double
    let startSecondsAfterBoot: Double
    let virtualBytes: Double
    let residentBytes: Double

    static func read() -> ProcessStat? {
        guard let text = KernelText.read("/proc/self/stat") else { return nil }
        return ProcessStat(
            text, ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))), pageBytes: Double(sysconf(Int32(_SC_PAGESIZE))))
    }

    /// The second field is the program's name in parentheses and may itself have spaces and parentheses, so counting
    /// starts after the last parenthesis.
    init?(_ text: String, ticksPerSecond: Double, pageBytes: Double) {
        guard let close = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: close)...].split(separator: " ")
        // Field 3, the state, is fields[0].
        func field(_ number: Int) -> Double? {
            fields.count > number - 3 ? Double(fields[number - 3].trimmingCharacters(in: .whitespacesAndNewlines)) : nil
        }
        guard let user = field(14), let system = field(15), let start = field(22), let virtual = field(23),
            let pages = field(24)
        else { return nil }
        processorSeconds = (user + system) / ticksPerSecond
        startSecondsAfterBoot = start / ticksPerSecond
        virtualBytes = virtual
        residentBytes = pages * pageBytes
    }
}
