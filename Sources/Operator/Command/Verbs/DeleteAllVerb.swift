import ArgumentParser
import Controller
import Foundation
import Kubernetes
import LogOutput
import Logging
import ModelCacheClient

/// For `helm uninstall` and people who remove ModelCache: run while operator and agents still run.
struct DeleteAllVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete-all",
        abstract: "Delete all ModelCaches, with their copies on the nodes, and wait until they are gone.",
        discussion: """
            EXIT CODES
              0 none is left   1 some are left after --timeout, named on standard error
            """)

    /// Its --kubeconfig, --context and --namespace hold here too.
    @ParentCommand var operatorCommand: OperatorCommand

    @Option(
        help: ArgumentHelp("How long operator and agents may take. Default: 5m.", valueName: "duration"),
        transform: GoDuration.flag)
    var timeout: Duration = .seconds(300)

    @Flag(
        help: ArgumentHelp(
            "Then give up the copies of those that are left: their finalizer goes, and bytes may stay on nodes that do not answer."
        ))
    var thenForce = false

    func run() async throws {
        LogOutput.bootstrap(level: .info, format: .text)
        let logger = Logger(label: "delete-all")
        let client: KubernetesClient
        do {
            let configuration = try ClientConfiguration.load(
                kubeconfig: operatorCommand.kubeconfig, context: operatorCommand.context)
            client = try KubernetesClient(configuration: configuration, logger: logger)
        } catch {
            throw OperatorFailure.wrongSetting("\(error)")
        }
        let removal = Removal(client: client, namespace: operatorCommand.namespace, fieldManager: Names.fieldOwner) {
            switch $0 {
            case .deleting(let key): logger.info("deleting", metadata: ["modelcache": "\(key)"])
            case .givingUp(let keys):
                logger.warning(
                    "copies may be left on nodes that do not answer",
                    metadata: ["modelcaches": "\(Removal.names(keys))"])
            case .volumesLeft(let why):
                logger.warning("PersistentVolumes of ModelCaches are left", metadata: ["reason": "\(why)"])
            }
        }
        let outcome: Result<[ObjectKey], any Error>
        do {
            outcome = .success(try await removal.run(timeout: timeout, thenForce: thenForce))
        } catch { outcome = .failure(error) }
        try? await client.shutdown()
        let left = try outcome.get()
        guard left.isEmpty else {
            throw OperatorFailure.unexpected(
                "still there after \(timeout): \(Removal.names(left)); see their Events, or add --then-force to give copies up"
            )
        }
    }
}
