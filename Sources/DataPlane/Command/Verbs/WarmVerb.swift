import Agent
import ArgumentParser
import Foundation
import Glibc
import ObjectStore

struct WarmVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Bring a model into the cache ahead of its readers.",
        discussion: """
            Starts an agent when none runs, then waits until every file is whole and verified. At a ModelCache's own socket
            (MODELCACHE_SOCKET=.../.modelcache/agent.sock) it waits for the node's agent instead, 60 s, also when the agent is
            restarted meanwhile (MODELCACHE_AGENT_DEADLINE_SECONDS). MODELCACHE_TOKEN_FILE names the ServiceAccount token by which
            that socket knows a pod. Exit code 0: every file is whole; 1: it cannot be;
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
            let settings = source.environment().filter { SourceSettings.variables.contains($0.key) && !$0.value.isEmpty }
            if let volume = CacheSocket.volume(of: place.socket) {
                guard !pin else {
                    throw CommandFailure("--pin: what is pinned of a ModelCache its placement decides; leave the flag out")
                }
                try warm(volume: volume, socket: place.socket, settings: settings)
            } else {
                let client = try AgentLauncher.connect(place)
                let directory = try client.open(settings: settings).directory
                try follow(client, directory: directory, shown: directory)
            }
        } catch {
            TerminationLog.write(error)
            fail(error)
        }
    }

    /// Through a ModelCache's own socket, of which only the node's agent can be the other end: it is waited for, never started.
    private func warm(volume: String, socket: String, settings: [String: String]) throws {
        let patience = Double(ProcessInfo.processInfo.environment["MODELCACHE_AGENT_DEADLINE_SECONDS"] ?? "") ?? 60
        var goneSince: ContinuousClock.Instant?
        var hasBegun = false
        // Not there yet, or gone in mid-fill: the next agent has the chunks and goes on.
        func wait(_ reason: String) throws {
            if goneSince == nil { say("waiting up to \(Int(patience)) s for the node's agent at \(socket) (\(reason))") }
            let since = goneSince ?? .now
            goneSince = since
            guard since.duration(to: .now) < .seconds(patience) else { throw CacheSocketUnreachable(path: socket, reason: reason) }
            usleep(200_000)
        }
        while true {
            do {
                let client = try AgentClient(path: socket)
                let directory = try client.open(settings: settings.merging(try CallerToken.settings()) { $1 }).directory
                goneSince = nil
                hasBegun = true
                return try follow(client, directory: directory, shown: volume)
            } catch let error as AgentUnreachable {
                try wait(error.reason)
            } catch let error as AgentRefused where hasBegun && error.isUnreachable {
                try wait(error.message)
            }
        }
    }

    /// - Parameters:
    ///   - directory: as the agent names it.
    ///   - shown: as this process sees it.
    private func follow(_ client: AgentClient, directory: String, shown: String) throws {
        var line = ProgressLine()
        var isPinned = !pin
        while true {
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
            if json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                FileHandle.standardOutput.write(try encoder.encode(model) + Data("\n".utf8))
            } else {
                line.show(model, done: isDone)
            }
            switch model.phase {
            case .complete:
                if !json { print(shown) }
                return
            case .failed:
                throw CommandFailure(model.message ?? "the model cannot be completed")
            case .filling, .prepared:
                Thread.sleep(forTimeInterval: json ? 0.5 : 0.1)
            }
        }
    }

    private func say(_ text: String) {
        FileHandle.standardError.write(Data("modelcache: \(text)\n".utf8))
    }
}

/// No agent came to a ModelCache's socket.
struct CacheSocketUnreachable: Error, CustomStringConvertible {
    let path: String
    let reason: String

    var description: String {
        "no agent answers at \(path) (\(reason)); see that the modelcache-agent pod of this node runs and that the ModelCache's volume is mounted"
    }
}

/// The ServiceAccount token of `MODELCACHE_TOKEN_FILE`, by which a ModelCache's socket knows its callers.
enum CallerToken {
    /// What `MC_OPEN` carries of it. Read anew for each connection: the kubelet renews the file. Empty where none is named.
    ///
    /// - Throws: `SettingError` that names the file and never shows what is in it.
    static func settings(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> [String: String] {
        guard let path = environment["MODELCACHE_TOKEN_FILE"], !path.isEmpty else { return [:] }
        guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: maximumBytes + 1) ?? Data(),
            data.count <= maximumBytes, let text = String(data: data, encoding: .utf8)
        else {
            throw SettingError(
                field: "MODELCACHE_TOKEN_FILE", value: nil, problem: "names no readable file of at most \(maximumBytes) bytes",
                remedy: "mount a projected ServiceAccount token of audience modelcache.io there")
        }
        return ["MODELCACHE_TOKEN": text.trimmingCharacters(in: .whitespacesAndNewlines)]
    }

    private static let maximumBytes = 16 << 10
}

/// What Kubernetes shows of a container that ended: the container's `terminationMessagePath`, where there is such a file.
enum TerminationLog {
    static func write(_ error: any Error) {
        let descriptor = open("/dev/termination-log", O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // 4096 bytes is what the kubelet reads.
        let text = Array("\(error)".utf8.prefix(4096))
        _ = Glibc.write(descriptor, text, text.count)
    }
}
