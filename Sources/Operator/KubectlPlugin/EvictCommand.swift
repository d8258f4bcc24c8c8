import ArgumentParser
import CRD
import Foundation
import Kubernetes

struct EvictCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evict", abstract: "Ask the operator to drop copies now.",
        usage: "kubectl modelcache evict <name> [<options>]",
        discussion: """
            Copies that the spec wants (Eager nodes, seeders) are fetched again, so this refreshes them and starts a \
            failed node anew; to free the memory for good, set spec.suspend to true first. A copy that a pod reads is \
            not dropped; an Event on the ModelCache says so. Returns at once; kubectl modelcache why shows what came of it.

            Examples:
              kubectl modelcache evict gemma
              kubectl modelcache evict gemma --node node-1
            """)

    @Argument(help: "A ModelCache.")
    var name: String

    @OptionGroup var connection: ConnectionOptions

    @Option(help: "The node whose copy is dropped. Default: every node.")
    var node: String?

    @Flag(help: "The copies on all nodes, as without --node.")
    var all = false

    func validate() throws {
        guard !all || node == nil else {
            throw ValidationError("--all and --node contradict each other: leave one out")
        }
    }

    func run() async throws {
        try await connection.run { client, namespace in
            let key = ObjectKey(namespace: namespace, name: name)
            let request = EvictionRequest(node: node, requestedAt: Timestamp.now.description)
            guard EvictionRequest(annotation: request.annotation) == request else {
                Terminal.complain("\(node ?? "") is no node's name")
                throw ExitCode(64)
            }
            let model = try await client.get(ModelCache.self, key)
            if let node, let nodes = model.status?.nodes, nodes.desired <= nodes.details.count, !nodes.details.isEmpty,
                !nodes.details.contains(where: { $0.name == node })
            {
                Terminal.complain(
                    "\(name) has no copy on \(node); its nodes are \(Texts.list(nodes.details.map(\.name), showing: 10))"
                )
                throw ExitCode(1)
            }
            let body: JSONValue = [
                "metadata": ["annotations": .object([EvictionRequest.annotationKey: .string(request.annotation)])]
            ]
            try await client.patch(ModelCache.self, key, .merge(body), WriteOptions(fieldManager: "kubectl-modelcache"))
            Terminal.write(
                "modelcache.modelcache.io/\(name): asked to evict \(node.map { "the copy on \($0)" } ?? "every copy")\n"
            )
        }
    }
}
