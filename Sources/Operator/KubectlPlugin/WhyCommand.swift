import ArgumentParser
import CRD
import Foundation
import Kubernetes

struct WhyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "What a ModelCache waits for, in plain words, and what to do about it.",
        usage: "kubectl modelcache why <name> [<options>]",
        discussion: """
            Looks at the ModelCache, its Secret's keys (never their values), its Jobs and their pods, the agents, the \
            operator and warnings; what the caller may not read is named.

            Example:
              kubectl modelcache why gemma -n models
            """)

    @Argument(help: "A ModelCache.")
    var name: String

    @OptionGroup var connection: ConnectionOptions

    @Option(help: "Where operator and agents run.")
    var systemNamespace = "modelcache-system"

    func run() async throws {
        try await connection.run { client, namespace in
            let seen = try await Observation(client: client, systemNamespace: systemNamespace)
                .look(ObjectKey(namespace: namespace, name: name))
            let lines = Why(seen).lines(blindSpots: seen.blindSpots)
            Terminal.write(lines.map { $0 + "\n" }.joined())
        }
    }
}
