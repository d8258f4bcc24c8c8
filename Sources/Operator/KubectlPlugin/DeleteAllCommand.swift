import ArgumentParser
import CRD
import Kubernetes
import ModelCacheClient

struct DeleteAllCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete-all",
        abstract: "Delete all ModelCaches, with their copies on the nodes, and wait until they are gone.",
        usage: "kubectl modelcache delete-all [<options>]",
        discussion: """
            Run it before ModelCache is removed with kubectl delete -k, while operator and agents still run: they take \
            the copies off the nodes. Where they are gone already, --then-force lets no object wait for them.

            Examples:
              kubectl modelcache delete-all -A && kubectl delete -k config/default
              kubectl modelcache delete-all -A --timeout 1m --then-force
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(name: [.customShort("A"), .long], help: "Those of all namespaces.")
    var allNamespaces = false

    @Option(
        help: ArgumentHelp("How long operator and agents may take. Default: 5m.", valueName: "duration"),
        transform: GoDuration.flag)
    var timeout: Duration = .seconds(300)

    @Flag(help: "Then give up the copies of those that are left. Bytes may stay on nodes that do not answer.")
    var thenForce = false

    func run() async throws {
        try await connection.run { client, namespace in
            let removal = Removal(
                client: client, namespace: allNamespaces ? nil : namespace, fieldManager: "kubectl-modelcache"
            ) {
                switch $0 {
                case .deleting(let key): Terminal.write("\(key.namespace)/\(key.name): deleting\n")
                case .givingUp(let keys):
                    Terminal.complain(
                        "giving up the copies of \(Removal.names(keys)): they may be left on nodes that do not answer")
                case .volumesLeft(let why):
                    Terminal.complain(
                        "PersistentVolumes are left (kubectl get pv -l modelcache.io/uid): \(why)")
                }
            }
            let left = try await removal.run(timeout: timeout, thenForce: thenForce)
            guard left.isEmpty else {
                Terminal.complain(
                    "still there after \(timeout): \(Removal.names(left)); see kubectl modelcache why, "
                        + "or add --then-force to give their copies up")
                throw ExitCode(1)
            }
        }
    }
}
