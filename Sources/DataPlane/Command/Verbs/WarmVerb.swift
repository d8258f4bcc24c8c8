import Agent
import ArgumentParser
import Foundation
import Glibc
internal import Models
import ObjectStore
internal import Sessions
internal import TextCoding

struct WarmVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Bring a model into the cache ahead of its readers.",
        usage: "modelcache warm [<options>]",
        discussion: """
            Starts an agent when none runs, then waits until every file is whole and verified. At a ModelCache's own socket \
            (MODELCACHE_SOCKET=.../.modelcache/agent.sock) it waits for the node's agent instead, 60 s, also when the agent is \
            restarted meanwhile (MODELCACHE_AGENT_DEADLINE_SECONDS). MODELCACHE_TOKEN_FILE names the ServiceAccount token by which \
            that socket knows a pod, MODELCACHE_SECRET_FOLDER the volume of a Secret with the store's keys; with \
            MODELCACHE_CREDENTIALS=pod the keys are those of the role that the cluster gives the pod. Without keys it waits \
            as long for a client that has some. Exit code 0: every file is whole; 1: it cannot be; \
            69: no agent or store answers; 78: a setting is wrong.

            EXAMPLES
              modelcache warm --source oss://models/qwen/
              modelcache warm --source oss://models/qwen/ --pin --json
            """)

    @OptionGroup var source: SourceOptions
    @OptionGroup var place: AgentLocationOptions

    @Flag(help: "Keep the model until `modelcache evict`, whether or not somebody uses it.")
    var pin = false

    @Flag(help: "Print progress as JSON lines on standard output.")
    var json = false

    func run() throws {
        FirstProcess.endsAtOnce()
        do {
            let place = try place.location()
            let settings = source.environment().filter {
                SourceSettings.variables.contains($0.key) && !$0.value.isEmpty
            }
            if let volume = CacheSocket.volume(of: place.socket) {
                guard !pin else {
                    throw CommandFailure(
                        "--pin: what is pinned of a ModelCache its placement decides; leave the flag out")
                }
                // The agent would take neither: files and roles of this process are not the agent's.
                let own = settings.filter { !CredentialChain.partyVariables.contains($0.key) }
                try warm(volume: volume, socket: place.socket, settings: own, role: try GivenRole(settings))
            } else {
                var connection = Connection(
                    socket: nil, settings: settings, client: try AgentLauncher.connect(place))
                let directory = try connection.open()
                try follow(&connection, directory: directory, shown: directory)
            }
        } catch {
            TerminationLog.write(error)
            fail(error)
        }
    }

    /// Warms through a ModelCache's own socket. Only the node's agent listens there, so this waits for it and never
    /// starts one.
    private func warm(volume: String, socket: String, settings: [String: String], role: GivenRole?) throws {
        let patience = Double(ProcessInfo.processInfo.environment["MODELCACHE_AGENT_DEADLINE_SECONDS"] ?? "") ?? 60
        var goneSince: ContinuousClock.Instant?
        var told: (reason: String, at: ContinuousClock.Instant)?
        var hasBegun = false
        // The agent has not started yet, or ended during the fill. The next agent has the chunks and continues.
        func wait(_ reason: String, orThrow error: any Error) throws {
            let since = goneSince ?? .now
            goneSince = since
            // Each try of a store may fail with other words.
            if told.map({ $0.reason != reason && $0.at.duration(to: .now) >= .seconds(5) }) ?? true {
                say("waiting up to \(Int(patience)) s for the node's agent at \(socket) (\(reason))")
                told = (reason, .now)
            }
            guard since.duration(to: .now) < .seconds(patience) else { throw error }
            usleep(200_000)
        }
        while true {
            var connection = Connection(socket: socket, settings: settings, role: role)
            do {
                let directory = try connection.open()
                goneSince = nil
                told = nil
                hasBegun = true
                return try follow(&connection, directory: directory, shown: volume)
            } catch let error as AgentUnreachable {
                try wait(error.reason, orThrow: CacheSocketUnreachable(path: socket, reason: error.reason))
            } catch let error as AgentRefused where (hasBegun || !connection.bringsCredentials) && error.isUnreachable {
                // Without keys it is served as soon as a client with keys is there: a warm-up Job, which comes.
                try wait(error.message, orThrow: error)
            }
        }
    }

    /// - Parameters:
    ///   - directory: the agent's name for it.
    ///   - shown: this process's name for it.
    private func follow(_ connection: inout Connection, directory: String, shown: String) throws {
        var line = ProgressLine()
        var isPinned = !pin
        var told: Set<ModelWarning>?
        func tell(_ warnings: [ModelWarning]?) {
            guard !json else { return }
            for warning in warnings ?? [] where told?.contains(warning) != true { say("warning: \(warning.line)") }
            told = (told ?? []).union(warnings ?? [])
        }
        while true {
            try connection.handOverNewCredentials()
            let client = try connection.current()
            guard case .status(let status) = try client.control(.status),
                let model = status.models.first(where: { $0.directory == directory && $0.phase != .prepared })
            else {
                throw CommandFailure("the model was evicted while it was being warmed; try again")
            }
            if !isPinned {
                if case .failed(let why) = try client.control(.pin(model: model.id, pinned: true)) {
                    throw CommandFailure(why)
                }
                isPinned = true
            }
            let isDone = model.phase != .filling
            // Not between: a line there would tear the progress apart.
            if told == nil { tell(model.warnings) }
            if json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                FileHandle.standardOutput.write(try encoder.encode(model) + Data("\n".utf8))
            } else {
                line.show(model, done: isDone)
            }
            if isDone { tell(model.warnings) }
            switch model.phase {
            case .complete:
                if !json { print(shown) }
                return
            case .failed:
                throw CommandFailure(
                    model.message ?? "the model cannot be completed",
                    isUnreachable: model.reason == AgentStatus.unreachableReason)
            case .filling, .prepared:
                Thread.sleep(forTimeInterval: json ? 0.5 : 0.1)
            }
        }
    }

    private func say(_ text: String) {
        FileHandle.standardError.write(Data("modelcache: \(text)\n".utf8))
    }
}

/// The session that holds the model; at a ModelCache's socket it is replaced when the token for its role, its Secret,
/// or the keys of the pod's role were renewed.
private struct Connection {
    /// A ModelCache's; nil: the agent's own.
    let socket: String?
    let settings: [String: String]
    /// Nil: the cluster gives this pod no role.
    let role: GivenRole?
    var client: AgentClient?
    private var handed = Handed()

    /// The agent reads the source with these.
    private struct Handed: Equatable {
        var role: [String: String] = [:]
        var keys: [String: String] = [:]
    }

    init(socket: String?, settings: [String: String], role: GivenRole? = nil, client: AgentClient? = nil) {
        self.socket = socket
        self.settings = settings
        self.role = role
        self.client = client
    }

    /// Whether the agent can read the source with what the last ``open()`` handed over.
    var bringsCredentials: Bool { handed != Handed() || settings["OSS_ACCESS_KEY_ID"] != nil }

    func current() throws -> AgentClient {
        guard let client else { throw CommandFailure("the connection was not opened") }
        return client
    }

    /// Returns the agent's name of the directory.
    mutating func open() throws -> String {
        guard let socket else { return try current().open(settings: settings).directory }
        let keys =
            try role?.first() ?? MountedSecret.read(environment: ProcessInfo.processInfo.environment)?.settings ?? [:]
        return try open(Handed(role: try CallerToken.roleSettings(), keys: keys), at: socket)
    }

    private mutating func open(_ credentials: Handed, at socket: String) throws -> String {
        handed = credentials
        let next = try AgentClient(path: socket)
        let all = try settings.merging(CallerToken.settings()) { $1 }
            .merging(credentials.role) { $1 }.merging(credentials.keys) { $1 }
        let directory = try next.open(settings: all).directory
        // The former one ends when the new one holds the model.
        client = next
        return directory
    }

    mutating func handOverNewCredentials() throws {
        guard let socket else { return }
        var newest = Handed(role: try CallerToken.roleSettings(), keys: handed.keys)
        if let role {
            // Its keys alone, also while they are not renewed: a Secret beside them is another party's.
            if let renewed = role.renewed() { newest.keys = renewed }
        } else if let secret = try? MountedSecret.read(environment: ProcessInfo.processInfo.environment) {
            // A Secret that goes, or is half written, ends no fill that has its keys.
            newest.keys = secret.settings
        }
        if newest != handed { _ = try open(newest, at: socket) }
    }
}

/// No agent responds at a ModelCache's socket.
struct CacheSocketUnreachable: Error, CustomStringConvertible {
    let path: String
    let reason: String

    var description: String {
        "no agent answers at \(path) (\(reason)); see that the modelcache-agent pod of this node runs "
            + "and that the ModelCache's volume is mounted"
    }
}

/// The ServiceAccount token of `MODELCACHE_TOKEN_FILE`, with which a ModelCache's socket authenticates its clients.
enum CallerToken {
    /// The token's setting in `MC_OPEN`. Read again for each connection, because the kubelet renews the file. Empty
    /// without the variable.
    ///
    /// - Throws: `SettingError`, which names the file and never shows its content.
    static func settings(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> [String: String]
    {
        try read("MODELCACHE_TOKEN_FILE", as: "MODELCACHE_TOKEN", audience: "modelcache.io", environment)
    }

    /// The setting with the token of `MODELCACHE_ROLE_TOKEN_FILE`, which the agent exchanges for the credentials of the
    /// role. Empty without the variable.
    static func roleSettings(environment: [String: String] = ProcessInfo.processInfo.environment) throws
        -> [String: String]
    {
        try read(
            "MODELCACHE_ROLE_TOKEN_FILE", as: "MODELCACHE_ROLE_TOKEN",
            audience: "sts.aliyuncs.com or sts.amazonaws.com", environment)
    }

    private static func read(_ name: String, as setting: String, audience: String, _ environment: [String: String])
        throws -> [String: String]
    {
        guard let path = environment[name], !path.isEmpty else { return [:] }
        guard let file = FileHandle(forReadingAtPath: path),
            let data = try? file.read(upToCount: maximumBytes + 1) ?? Data(),
            data.count <= maximumBytes, let text = String(data: data, encoding: .utf8)
        else {
            throw SettingError(
                field: name, value: nil,
                problem: "names no readable file of at most \(maximumBytes) bytes",
                remedy: "mount a projected ServiceAccount token of audience \(audience) there")
        }
        return [setting: text.trimmingCharacters(in: .whitespacesAndNewlines)]
    }

    private static let maximumBytes = 16 << 10
}

/// The container's `terminationMessagePath`, which Kubernetes shows after the container ended, where the file exists.
enum TerminationLog {
    static func write(_ error: any Error) { write("\(error)") }

    static func write(_ message: String) {
        let descriptor = open("/dev/termination-log", O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // The kubelet reads 4096 bytes.
        let text = Array(message.utf8.prefix(4096))
        _ = Glibc.write(descriptor, text, text.count)
    }
}
