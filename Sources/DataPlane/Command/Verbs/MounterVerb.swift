import Agent
import ArgumentParser
import Foundation
import Glibc
import LogOutput
import Logging

struct MounterVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mounter",
        abstract: "Mount caches for an agent that has no right to.",
        discussion: """
            Runs as root beside an agent with --mounter. It mounts, enlarges and unmounts the tmpfs of caches below its \
            root, opens /dev/userfaultfd, and does nothing else: no network, no keys, no bytes of models. The agent \
            then needs no privilege.

            EXAMPLES
              modelcache mounter --socket /run/modelcache-mounter.sock
              modelcache agent --mounter /run/modelcache-mounter.sock
            """)

    @Option(
        help: ArgumentHelp("The agent's cache folder (MODELCACHE_ROOT; default /run/modelcache).", valueName: "dir"))
    var root: String?

    @Option(help: ArgumentHelp("Where the agent finds it (MODELCACHE_MOUNTER).", valueName: "path"))
    var socket: String?

    func run() throws {
        do {
            FirstProcess.endsAtOnce()
            let environment = ProcessInfo.processInfo.environment
            let place = try AgentOptions.location(root: root, environment: environment, userID: getuid())
            guard let socket = try AgentOptions.mounter(socket, environment: environment) else {
                throw CommandFailure("a mounter needs a socket: set --socket or MODELCACHE_MOUNTER, as for its agent")
            }
            try ProcessRights.mounter.restrict()
            LogOutput.bootstrap(level: .info, format: try AgentOptions.chosenLogFormat(nil, environment: environment))
            try MounterService(root: place.root, socket: socket, logger: Logger(label: "mounter")).run()
        } catch {
            fail(error)
        }
    }
}
