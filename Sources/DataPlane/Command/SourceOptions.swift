import Agent
import ArgumentParser
import Foundation
import Glibc
import ObjectStore

/// Which model and how to reach it. Secrets have no flag: arguments can be read by everybody on the machine.
struct SourceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The model's prefix, oss://bucket/prefix/ or s3://bucket/prefix/ (OSS_PATH).", valueName: "uri"))
    var source: String?

    @Option(help: ArgumentHelp("The store, http:// or https:// (OSS_ENDPOINT).", valueName: "host"))
    var endpoint: String?

    @Option(help: "The bucket's region, such as cn-beijing (OSS_REGION).")
    var region: String?

    @Option(help: ArgumentHelp("Only keys that match this shell pattern; repeatable (MODELCACHE_INCLUDE).", valueName: "pattern"))
    var include: [String] = []

    /// The environment with the flags laid over it.
    func environment(over base: [String: String] = ProcessInfo.processInfo.environment) -> [String: String] {
        var environment = base
        if let source { environment["OSS_PATH"] = source }
        if let endpoint { environment["OSS_ENDPOINT"] = endpoint }
        if let region { environment["OSS_REGION"] = region }
        if !include.isEmpty { environment["MODELCACHE_INCLUDE"] = include.joined(separator: ",") }
        return environment
    }
}

/// Where the agent is.
struct AgentLocationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The cache's folder (MODELCACHE_ROOT; default /run/modelcache for root).", valueName: "dir"))
    var root: String?

    @Option(help: ArgumentHelp("The agent's socket (MODELCACHE_SOCKET; default ROOT/agent.sock).", valueName: "path"))
    var socket: String?

    func location() throws -> (root: String, socket: String) {
        try AgentOptions.location(
            root: root, socket: socket, environment: ProcessInfo.processInfo.environment, userID: getuid())
    }
}

/// By a code of agent_wire.h.
private func exitCode(_ code: UInt32) -> Int32 {
    switch code {
    case 1, 2, 3: 78
    case 4: 69
    default: 1
    }
}

/// The work failed, for the reason given.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Ends the command with one line on standard error.
///
/// Exit codes: 1 the work failed, 69 no agent or store can be reached, 78 a setting is wrong (sysexits.h).
func fail(_ error: any Error) -> Never {
    let code: Int32 =
        switch error {
        case is SettingError: 78
        case is AgentUnreachable, is CacheSocketUnreachable: 69
        case let refused as AgentRefused: exitCode(refused.code)
        case let error as StoreError: exitCode(AgentRefused(error).code)
        default: 1
        }
    FileHandle.standardError.write(Data("modelcache: \(error)\n".utf8))
    exit(code)
}
