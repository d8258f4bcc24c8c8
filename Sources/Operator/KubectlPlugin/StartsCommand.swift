import ArgumentParser
import CRD
import Foundation
import Kubernetes
import ModelCacheClient

struct StartsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "starts", abstract: "How long each pod of a ModelCache took to be ready, and in which phase.",
        usage: "kubectl modelcache starts <name> [<options>]",
        discussion: """
            The phases follow each other and add up to the time from the pod's creation until it was ready, or until \
            now with an ellipsis. They come from the pod's status, in full seconds; a phase that the cluster does not \
            tell is -, and its time is in the next one.

            A second table cuts the phase in which the pod loads its model: what the agent of its node saw, where the \
            bytes came from, and what the program waited for. The operator that leads asks the agents, through the API \
            server: the caller needs the Role modelcache-reader of the system namespace.

            Examples:
              kubectl modelcache starts gemma
              kubectl modelcache starts gemma -n models -o json
            """)

    enum Output: String, ExpressibleByArgument {
        case json
    }

    @Argument(help: "A ModelCache.")
    var name: String

    @OptionGroup var connection: ConnectionOptions

    @Option(help: "Where operator and agents run.")
    var systemNamespace = "modelcache-system"

    @Option(
        name: [.customShort("o"), .long], help: "json: the seconds of each phase, and milliseconds, bytes and waits.")
    var output: Output?

    private struct Report: Encodable {
        let starts: [PodStart]
        /// Why some starts have no ``PodStart/reading``.
        let untold: [String]
    }

    func run() async throws {
        try await connection.run { client, namespace in
            let model = try await client.get(ModelCache.self, ObjectKey(namespace: namespace, name: name))
            let reading = StartsReading(
                client: client, operators: OperatorReading(client: client, systemNamespace: systemNamespace))
            let pods = try await reading.pods(in: namespace).filter { StartsReading.reads($0, model) }
            let told = pods.isEmpty ? StartsReading.Told() : await reading.told(of: model)
            let now = Timestamp.now
            let starts = pods.compactMap { $0.start(now: now, told.readings[$0.metadata.uid ?? ""]) }
            let untold = told.untold
            if output == .json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
                let report = try encoder.encode(Report(starts: starts, untold: untold))
                Terminal.write(String(decoding: report, as: UTF8.self) + "\n")
            } else if starts.isEmpty {
                Terminal.complain(
                    "no pod in the namespace \(namespace) was given \(name); see kubectl modelcache why \(name)")
            } else {
                let readings = StartsText.readings(starts)
                let lines = StartsText.table(starts) + (readings.isEmpty ? [] : [""] + readings)
                Terminal.write(lines.map { $0 + "\n" }.joined())
                for line in untold { Terminal.complain(line) }
            }
        }
    }
}
