import ArgumentParser
import CRD
import Foundation
import Kubernetes

struct NodesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes", abstract: "Free and used bytes and the models of each node.",
        usage: "kubectl modelcache nodes [<name> ...] [<options>]",
        discussion: """
            FREE is what a new ModelCache may take: copies that are neither pinned nor read are evicted for it. The \
            operator that leads answers, through the API server: the caller needs the Role modelcache-reader of the \
            system namespace.

            Examples:
              kubectl modelcache nodes
              kubectl modelcache nodes node-1 -o json
            """)

    enum Output: String, ExpressibleByArgument {
        case json
    }

    @Argument(help: "Nodes; without any, all that have an agent.")
    var names: [String] = []

    @OptionGroup var connection: ConnectionOptions

    @Option(help: "Where operator and agents run.")
    var systemNamespace = "modelcache-system"

    @Option(name: [.customShort("o"), .long], help: "json: budget, used and free bytes, and each copy.")
    var output: Output?

    func run() async throws {
        try await connection.run { client, _ in
            var report = try await OperatorReading(client: client, systemNamespace: systemNamespace).nodes()
            let known = Set(report.nodes.map(\.name))
            if let unknown = names.first(where: { !known.contains($0) }) {
                Terminal.complain("no agent runs on \(unknown); see kubectl get pods -n \(systemNamespace) -o wide")
                throw ExitCode(1)
            }
            if !names.isEmpty { report.nodes.removeAll { !names.contains($0.name) } }
            if output == .json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
                Terminal.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n")
            } else if report.nodes.isEmpty {
                Terminal.complain("no agent runs on any node; see kubectl get pods -n \(systemNamespace)")
            } else {
                Terminal.write(NodesText.table(report).map { $0 + "\n" }.joined())
            }
        }
    }
}
