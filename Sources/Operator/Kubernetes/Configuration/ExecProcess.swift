import FoundationEssentials
import Glibc
import NIOPosix

/// Runs a program directly, with a time limit, and returns its standard output.
///
/// Standard input is empty. Standard error is ours, so that a person sees the plugin's messages.
struct ExecProcess: Sendable {
    private static let outputLimit = 1 << 20

    var command: String
    var arguments: [String]
    var environment: [String: String]
    var installHint: String?
    var timeLimit: Duration = .seconds(60)

    /// - Throws: ``ConfigurationError`` when the program cannot run, fails, prints too much or takes too long.
    func output() async throws -> [UInt8] {
        // Waiting for a program blocks a thread, which must not be one of Swift's few.
        try await NIOThreadPool.singleton.runIfActive { try run() }
    }

    private func failure(_ problem: String, _ remedy: String? = nil) -> ConfigurationError {
        ConfigurationError(
            source: command, problem: problem,
            remedy: remedy ?? installHint.map { "the configuration says: \($0)" } ?? "run it by hand to see why")
    }

    private func run() throws -> [UInt8] {
        guard let path = executable() else {
            throw failure(
                "there is no such program", installHint.map { "the configuration says: \($0)" } ?? "install it")
        }
        var pipe: [Int32] = [-1, -1]
        guard Glibc.pipe(&pipe) == 0 else { throw failure("no pipe (errno \(errno))") }
        for end in pipe { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(pipe[0]) }
        let process: pid_t
        do {
            defer { close(pipe[1]) }
            process = try spawn(path, output: pipe[1])
        }
        let printed: [UInt8]
        do {
            printed = try readAll(pipe[0])
        } catch {
            kill(process, SIGKILL)
            _ = exitStatus(process)
            throw error
        }
        let status = exitStatus(process)
        guard status == 0 else { throw failure("the plugin failed (status \(status))") }
        return printed
    }

    /// A name without a slash is searched in PATH.
    private func executable() -> String? {
        if command.contains("/") { return access(command, X_OK) == 0 ? command : nil }
        for directory in (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":") {
            let path = "\(directory)/\(command)"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }

    private func spawn(_ path: String, output: Int32) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        let argv = ([command] + arguments).map { strdup($0) }
        let envp = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { (argv + envp).forEach { free($0) } }
        var process: pid_t = 0
        let error = posix_spawn(&process, path, &actions, nil, argv + [nil], envp + [nil])
        guard error == 0 else { throw failure("it cannot be run (errno \(error))") }
        return process
    }

    private func readAll(_ descriptor: Int32) throws -> [UInt8] {
        let deadline = ContinuousClock.now + timeLimit
        var printed: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { throw failure("it took longer than \(timeLimit)") }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, Int32(clamping: left.components.seconds * 1_000 + 1_000))
            if ready == 0 || (ready < 0 && errno == EINTR) { continue }
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("its output cannot be read (errno \(errno))") }
            if count == 0 { return printed }
            printed += chunk[..<count]
            guard printed.count <= Self.outputLimit else {
                throw failure("it printed more than \(Self.outputLimit) bytes")
            }
        }
    }

    /// 0 for success; 128 plus the signal's number for a killed program.
    private func exitStatus(_ process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else { return -1 }
        }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }
}
