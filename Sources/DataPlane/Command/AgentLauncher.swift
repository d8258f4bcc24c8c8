import Agent
import Foundation
import Glibc
import Sessions

/// Finds the agent of this environment, or starts one that ends by itself when no client needs it.
enum AgentLauncher {
    static func connect(_ place: (root: String, socket: String)) throws -> AgentClient {
        if let client = try reached(place.socket) { return client }
        let started = try start(place)
        defer { close(started.errors) }
        var deadline = ContinuousClock.now + .seconds(10)
        var failure: CommandFailure?
        while ContinuousClock.now < deadline {
            if let client = try reached(place.socket) { return client }
            var status: Int32 = 0
            if failure == nil, waitpid(started.process, &status, WNOHANG) == started.process, status != 0 {
                let reason =
                    lastLine(of: started.errors) ?? "it gave no reason; run `modelcache agent` yourself to see more"
                failure = CommandFailure("the agent that was started has ended: \(reason)")
                // Where another agent has the place, it answers in a moment.
                deadline = ContinuousClock.now + .seconds(1)
            }
            usleep(20_000)
        }
        if let failure { throw failure }
        return try AgentClient(path: place.socket)
    }

    /// nil: nobody answers there. A socket that may not be used is an error.
    private static func reached(_ socket: String) throws -> AgentClient? {
        do { return try AgentClient(path: socket) } catch is AgentUnreachable { return nil }
    }

    /// The last line that an ended agent wrote on its standard error.
    private static func lastLine(of descriptor: Int32) -> String? {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            text = Array((text + buffer.prefix(count)).suffix(8192))
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").last.map(String.init)
    }

    /// POSIX_SPAWN_SETSID, spawn.h of glibc 2.26; Swift's importer does not see it.
    private static let newSession: Int16 = 0x80

    /// A daemon outlives its starter and serves others: it gets what says where it runs, and neither the program's
    /// libraries (LD_PRELOAD, LD_AUDIT) nor its keys. The library's list is the same (Preload/AgentStart.swift).
    private static let keptVariables: Set<String> = [
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "HTTP_SOURCE_IP", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy",
        "NO_PROXY", "no_proxy",
    ]

    private static func isKept(_ name: String) -> Bool {
        keptVariables.contains(name) || name.hasPrefix("LC_")
            || (name.hasPrefix("MODELCACHE_") && !name.hasPrefix("MODELCACHE_TOKEN")
                && !name.hasPrefix("MODELCACHE_MODEL"))
    }

    /// Two processes may start one at once: the root's lock lets only one agent live.
    private static func start(_ place: (root: String, socket: String)) throws -> (process: pid_t, errors: Int32) {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let arguments = [executable, "agent", "--idle-exit", "--root", place.root, "--socket", place.socket]
        let environment = ProcessInfo.processInfo.environment.filter { isKept($0.key) }.map { "\($0.key)=\($0.value)" }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw CommandFailure(
                "starting \(executable) failed: \(String(cString: strerror(errno))); close some files, or raise `ulimit -n`"
            )
        }
        defer { close(ends[1]) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        // The pipe's reader goes away once the agent accepts: writing there must not kill it, and this it inherits.
        let before = signal(SIGPIPE, SIG_IGN)
        defer { signal(SIGPIPE, before) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Self.newSession)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let result = posix_spawn(&child, executable, &actions, &attributes, &argv, &envp)
        guard result == 0 else {
            close(ends[0])
            throw CommandFailure(
                "starting \(executable) failed: \(String(cString: strerror(result))); "
                    + "run `modelcache agent` yourself to see more")
        }
        return (child, ends[0])
    }
}
