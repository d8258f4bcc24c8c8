import ArgumentParser
import CRD
import Foundation
import Kubernetes
import Logging

/// kubectl's own flags, with their meaning there.
struct ConnectionOptions: ParsableArguments {
    @Option(name: [.customShort("n"), .long], help: "Default: the context's own.")
    var namespace: String?

    @Option(help: "A context of the kubeconfig. Default: its current one.")
    var context: String?

    @Option(help: "Default: $KUBECONFIG, then ~/.kube/config.")
    var kubeconfig: String?

    /// Runs `work` with a client and the namespace, and prints an error in one line.
    func run(_ work: (KubernetesClient, String) async throws -> Void) async throws {
        do {
            let configuration = try ClientConfiguration.load(kubeconfig: kubeconfig, context: context)
            let client = try KubernetesClient(
                configuration: configuration,
                logger: Logger(label: "kubectl-modelcache") { _ in SwiftLogNoOpLogHandler() })
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await work(client, namespace ?? client.defaultNamespace))
            } catch {
                outcome = .failure(error)
            }
            try? await client.shutdown()
            try outcome.get()
        } catch let error as ExitCode {
            throw error
        } catch {
            Terminal.complain(Self.text(error))
            throw ExitCode(1)
        }
    }

    /// One line.
    static func text(_ error: any Error) -> String {
        guard let error = error as? KubernetesError, error.isNotFound, error.resource.hasPrefix(APIGroup.plural) else {
            return "\(error)"
        }
        // Without a name in the response, the kind itself does not exist.
        return error.key.map { "no ModelCache \($0.name) in the namespace \($0.namespace)" }
            ?? "this cluster knows no ModelCache: install it with kubectl apply -k config/default"
    }
}
