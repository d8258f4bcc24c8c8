import Agent
import ArgumentParser
import Foundation
import Glibc
import ObjectStore
internal import Sessions
internal import TextCoding

/// The model, and how to reach it.
struct SourceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The model: oss://bucket/prefix/, s3://bucket/prefix/, or one object, oss://bucket/path/a.gguf (OSS_PATH).",
            valueName: "uri"))
    var source: String?

    @OptionGroup var store: StoreOptions

    /// The environment, with the flags replacing its values, and keys from the person's home where neither names any.
    func environment(over base: [String: String] = ProcessInfo.processInfo.environment) -> [String: String] {
        store.environment(source: source, over: base)
    }
}

/// How to reach the store of a model. Secrets have no flag, because every user of the machine can read arguments.
struct StoreOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The store, http:// or https:// (OSS_ENDPOINT).", valueName: "host"))
    var endpoint: String?

    @Option(help: "The bucket's region, such as cn-beijing (OSS_REGION).")
    var region: String?

    @Option(
        help: ArgumentHelp(
            "Only keys that match this shell pattern; repeatable (MODELCACHE_INCLUDE).", valueName: "pattern"))
    var include: [String] = []

    @Option(help: ArgumentHelp("Auto, Virtual, Path or CNAME (MODELCACHE_ADDRESSING).", valueName: "style"))
    var addressing: String?

    @Flag(help: "This account pays for requests to another's bucket (MODELCACHE_REQUEST_PAYER=requester).")
    var requesterPays = false

    /// The environment for one source, with the flags replacing its values, and keys from the person's home where
    /// neither names any. Without a source that of `OSS_PATH` is meant.
    func environment(
        source: String?, over base: [String: String] = ProcessInfo.processInfo.environment
    ) -> [String: String] {
        var environment = base
        if let source { environment["OSS_PATH"] = source }
        if let endpoint { environment["OSS_ENDPOINT"] = endpoint }
        if let region { environment["OSS_REGION"] = region }
        if !include.isEmpty { environment["MODELCACHE_INCLUDE"] = include.joined(separator: ",") }
        if let addressing { environment["MODELCACHE_ADDRESSING"] = addressing }
        if requesterPays { environment["MODELCACHE_REQUEST_PAYER"] = "requester" }
        let scheme: StoreScheme = environment["OSS_PATH"]?.lowercased().hasPrefix("s3://") == true ? .s3 : .oss
        return CredentialProfiles(read: Self.contents).completed(environment, scheme: scheme)
    }

    /// Of a small text file; nil: there is none.
    private static func contents(_ path: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: 64 << 10) else {
            return nil
        }
        return String(decoding: data, as: UTF8.self)
    }
}

/// The place of the agent.
struct AgentLocationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The cache's folder (MODELCACHE_ROOT; default /run/modelcache for root).", valueName: "dir"))
    var root: String?

    @Option(help: ArgumentHelp("The agent's socket (MODELCACHE_SOCKET; default ROOT/agent.sock).", valueName: "path"))
    var socket: String?

    func location() throws -> (root: String, socket: String) {
        try AgentOptions.location(
            root: root, socket: socket, environment: ProcessInfo.processInfo.environment, userID: getuid())
    }
}

/// The exit code for a code of agent_wire.h.
private func exitCode(_ code: UInt32) -> Int32 {
    switch code {
    case 1, 2, 3: 78
    case 4: 69
    default: 1
    }
}

/// The work failed, for the given reason.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String
    /// The store or agent cannot be reached: the same may work later.
    let isUnreachable: Bool

    init(_ description: String, isUnreachable: Bool = false) {
        self.description = description
        self.isUnreachable = isUnreachable
    }
}

/// Ends the command with one line on standard error.
///
/// Exit codes: 1 the work failed, 69 no agent or store can be reached, 78 a setting is wrong (sysexits.h).
func fail(_ error: any Error) -> Never {
    let code: Int32 =
        switch error {
        case is SettingError, is MountedSecret.Problem: 78
        case is AgentUnreachable, is CacheSocketUnreachable: 69
        case let failure as CommandFailure where failure.isUnreachable: 69
        case let refused as AgentRefused: exitCode(refused.code)
        case let error as StoreError: exitCode(AgentRefused(error).code)
        default: 1
        }
    FileHandle.standardError.write(Data("modelcache: \(SettingNames.told("\(error)"))\n".utf8))
    exit(code)
}
