import Agent
import Foundation
import Glibc

/// Finds the agent of this environment, or starts one that ends by itself when nobody needs it.
enum AgentLauncher {
    static func connect(_ place: (root: String, socket: String)) throws -> AgentClient {
        if let client = try? AgentClient(path: place.socket) { return client }
        try start(place)
        let deadline = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < deadline {
            if let client = try? AgentClient(path: place.socket) { return client }
            usleep(20_000)
        }
        return try AgentClient(path: place.socket)
    }

    /// POSIX_SPAWN_SETSID, spawn.h of glibc 2.26; the importer does not see it.
    private static let newSession: Int16 = 0x80

    /// Two starters at once are harmless: the root's lock lets one agent live.
    private static func start(_ place: (root: String, socket: String)) throws {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let arguments = [executable, "agent", "--idle-exit", "--root", place.root, "--socket", place.socket]
        // Neither the caller's keys nor the preload library belong into the daemon's environment.
        let environment = ProcessInfo.processInfo.environment.filter { name, _ in
            !["LD_PRELOAD", "ENABLE_CONNECTOR"].contains(name) && !name.hasPrefix("OSS_") && !name.hasPrefix("AWS_")
        }.map { "\($0.key)=\($0.value)" }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Self.newSession)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var child: pid_t = 0
        let result = posix_spawn(&child, executable, &actions, &attributes, &argv, &envp)
        guard result == 0 else {
            throw CommandFailure("starting \(executable) failed: \(String(cString: strerror(result))); run `modelcache agent` yourself to see more")
        }
    }
}
