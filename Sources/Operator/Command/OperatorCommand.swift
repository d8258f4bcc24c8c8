// OperatorCommand: the program `modelcache-operator`.
//
// - `OperatorCommand` has the flags. Settings/: `OperatorSettings` checks them together with the environment.
// - Process/: `OperatorProcess` runs the services. `ControlService` finds the API server, waits to lead and controls.
//   `Injection` is the webhook's part, in each replica. `HTTPServer` serves probes and metrics, and `ReportGate`
//   decides who may read reports there.
// - Verbs/: `DeleteAllVerb` and `ProbeVerb` for people and Helm, `PrintCRDVerb` and `ValidateVerb` for hack/ and tests.
// - `OperatorFailure` is the reason for the end, with its exit code.
// Invariants:
// - With an election only the leader controls. A process that lost its Lease ends, within 3 s whatever hangs.
// - Renewals of the Lease have a client of their own: they wait for no other request.
// - At the end the controller stops first. The webhook still answers for a while; Events, metrics and probes end last.
// - A replica that does not lead answers the webhook, and can be ready.
// Left to others: plans (Controller), patches and verdicts (Admission), election and client (Kubernetes).

import AgentAPI
import ArgumentParser
import Foundation
import Glibc
import LogOutput
import TextCoding

@main
enum Entry {
    static func main() async {
        Allocation.settle()
        // A reader of standard error that went away must not end the operator.
        signal(SIGPIPE, SIG_IGN)
        do {
            let arguments = BooleanWords.switches.rewritten(Array(CommandLine.arguments.dropFirst()))
            var command = try OperatorCommand.parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as OperatorFailure {
            fail(failure)
        } catch {
            OperatorCommand.exit(withError: error)
        }
    }

    private static func fail(_ failure: OperatorFailure) -> Never {
        FileHandle.standardError.write(Data("modelcache-operator: \(failure)\n".utf8))
        exit(failure.code)
    }
}

/// The operator's flags. ``OperatorSettings`` decides their meaning and the values that they take.
struct OperatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "modelcache-operator",
        abstract: "Keeps models warm on the nodes of a Kubernetes cluster, as ModelCache objects ask.",
        discussion: """
            Each flag can also be set by the environment: --agent-port is MODELCACHE_AGENT_PORT, and so on. A flag wins. \
            The API server is the one of --kubeconfig, else of KUBECONFIG, else of the pod, else of ~/.kube/config.

            The probe server answers /healthz and /readyz (ready: everything to be watched has been listed, and the API server has been told to \
            believe the webhook's certificate; a replica that does not lead is ready too). The metrics server answers /metrics under the names of controller-runtime. \
            SIGTERM: reconciles in flight end, the Lease is given up, exit 0.

            EXIT CODES
              0   asked to end
              1   the Lease was lost: start it again
              64  a flag is wrong
              69  the API server does not respond
              77  a right is missing
              78  a setting is wrong

            EXAMPLES
              modelcache-operator --leader-elect
              modelcache-operator --kubeconfig ~/.kube/config --namespace models
              modelcache-operator --leader-elect --log-format json
            """,
        version: Release.version,
        subcommands: [DeleteAllVerb.self, ProbeVerb.self, PrintCRDVerb.self, ValidateVerb.self])

    @Option(help: ArgumentHelp("Kubeconfig file.", valueName: "file"))
    var kubeconfig: String?

    @Option(help: ArgumentHelp("Another context of the kubeconfig than its current one.", valueName: "name"))
    var context: String?

    @Option(help: ArgumentHelp("Serve the ModelCaches of this namespace alone. Default: all.", valueName: "namespace"))
    var namespace: String?

    @Option(
        help: ArgumentHelp(
            "Where the operator and the agents are. Default: the pod's namespace, else modelcache-system.",
            valueName: "namespace"))
    var systemNamespace: String?

    @Option(help: ArgumentHelp("Image of warm-up Jobs. Default: modelcache/agent.", valueName: "image"))
    var agentImage: String?

    @Option(
        help: ArgumentHelp(
            "The agents' folder for models on disk, on their nodes. Default: /var/lib/modelcache.", valueName: "folder")
    )
    var agentDiskPath: String?

    @Option(
        help: ArgumentHelp(
            "The nodes on which agents run, as a label selector; others are left alone. Default: all.",
            valueName: "selector"))
    var agentNodeSelector: String?

    @Option(
        help: ArgumentHelp(
            "What warm-up pods are made with, as spec.warmup.podTemplate of a ModelCache, which wins.",
            valueName: "JSON"))
    var warmupPodTemplate: String?

    @Option(help: ArgumentHelp("The agents' port on their nodes. Default: 9417.", valueName: "port"))
    var agentPort: String?

    @Flag(
        inversion: .prefixedNo,
        help: "Act only while holding the Lease modelcache-operator, for several replicas. Default: off.")
    var leaderElect: Bool?

    @Option(
        help: ArgumentHelp(
            "A replica takes over when the leader was silent for so long. Default: 15s.", valueName: "duration"))
    var leaderElectLeaseDuration: String?

    @Option(help: ArgumentHelp("A leader that cannot renew for so long ends. Default: 10s.", valueName: "duration"))
    var leaderElectRenewDeadline: String?

    @Option(help: ArgumentHelp("Between two tries to lead or to renew. Default: 2s.", valueName: "duration"))
    var leaderElectRetryPeriod: String?

    @Option(help: ArgumentHelp("host:port of the metrics server; 0: none. Default: :8080.", valueName: "address"))
    var metricsBindAddress: String?

    @Option(help: ArgumentHelp("host:port of the probe server; 0: none. Default: :8081.", valueName: "address"))
    var healthProbeBindAddress: String?

    @Option(
        help: ArgumentHelp("host:port of the webhook that injects pods; 0: none. Default: :9443.", valueName: "address")
    )
    var webhookBindAddress: String?

    @Option(
        help: ArgumentHelp(
            "self: the operator makes and renews them; files: as in --webhook-certificate-directory. Default: self.",
            valueName: "source"))
    var webhookCertificates: String?

    @Option(help: ArgumentHelp("Folder with tls.crt and tls.key, read again when they change.", valueName: "folder"))
    var webhookCertificateDirectory: String?

    @Option(help: ArgumentHelp("How long the webhook still answers after SIGTERM. Default: 5s.", valueName: "duration"))
    var webhookDrainTimeout: String?

    @Option(
        help: ArgumentHelp(
            "Issuer of the ServiceAccount tokens. Default: as the API server's discovery document says.",
            valueName: "issuer"))
    var serviceAccountIssuer: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            "Where the cluster's token keys cannot be read, let agents serve whoever reaches a ModelCache's socket. Default: off."
    )
    var allowUnverifiedCallers: Bool?

    @Option(
        help: ArgumentHelp(
            "The STS that Jobs assume roles at to list a source. Default: that of the source's region.",
            valueName: "url"))
    var stsEndpoint: String?

    @Option(
        help: ArgumentHelp(
            "Hosts at which ModelCaches' credentials may be used, beside the stores' own; agents have the same list. Default: none.",
            valueName: "hosts"))
    var credentialHosts: String?

    @Flag(
        inversion: .prefixedNo,
        help: "Let ModelCaches be read with the nodes' own role; agents have a setting of the same name. Default: off.")
    var allowNodeRole: Bool?

    @Option(
        help: ArgumentHelp(
            "After how long a warm-up Job whose pod has not started is ended. Default: 5m.", valueName: "duration"))
    var warmupStartDeadline: String?

    @Option(
        help: ArgumentHelp(
            "How often each source is listed to see whether it has changed; 0: never. Default: 1h.",
            valueName: "duration"))
    var sourceCheckInterval: String?

    @Option(help: ArgumentHelp("ModelCaches worked on at once. Default: 8.", valueName: "number"))
    var maxConcurrentReconciles: String?

    @Option(
        help: ArgumentHelp("How long reconciles in flight may take after SIGTERM. Default: 10s.", valueName: "duration")
    )
    var gracefulShutdownTimeout: String?

    @Option(
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical. Default: info.", valueName: "level")
    )
    var logLevel: String?

    @Option(help: ArgumentHelp("text or json, on standard error. Default: text.", valueName: "format"))
    var logFormat: String?

    // For tests and the local testbed: the author of a ModelCache could make the operator ask its own machine.
    @Flag(inversion: .prefixedNo, help: .hidden)
    var allowLoopbackEndpoints: Bool?

    // For tests: API servers that call the webhook by address, and certificates that are renewed while one looks on.
    @Option(help: .hidden)
    var webhookExtraNames: String?

    @Option(help: .hidden)
    var webhookAuthorityLifetime: String?

    @Option(help: .hidden)
    var webhookCertificateLifetime: String?

    @Option(help: .hidden)
    var webhookSettleTime: String?

    func run() async throws {
        let settings = try OperatorSettings.resolve(
            flags: [
                "kubeconfig": kubeconfig, "context": context, "namespace": namespace,
                "system-namespace": systemNamespace, "agent-image": agentImage,
                "warmup-pod-template": warmupPodTemplate, "agent-disk-path": agentDiskPath,
                "agent-node-selector": agentNodeSelector, "sts-endpoint": stsEndpoint,
                "credential-hosts": credentialHosts,
                "agent-port": agentPort, "leader-elect": leaderElect.map(String.init),
                "leader-elect-lease-duration": leaderElectLeaseDuration,
                "leader-elect-renew-deadline": leaderElectRenewDeadline,
                "leader-elect-retry-period": leaderElectRetryPeriod,
                "metrics-bind-address": metricsBindAddress, "health-probe-bind-address": healthProbeBindAddress,
                "max-concurrent-reconciles": maxConcurrentReconciles, "warmup-start-deadline": warmupStartDeadline,
                "source-check-interval": sourceCheckInterval,
                "graceful-shutdown-timeout": gracefulShutdownTimeout, "log-level": logLevel,
                "log-format": logFormat, "allow-loopback-endpoints": allowLoopbackEndpoints.map(String.init),
                "service-account-issuer": serviceAccountIssuer,
                "allow-unverified-callers": allowUnverifiedCallers.map(String.init),
                "allow-node-role": allowNodeRole.map(String.init),
                "webhook-bind-address": webhookBindAddress, "webhook-certificates": webhookCertificates,
                "webhook-certificate-directory": webhookCertificateDirectory,
                "webhook-drain-timeout": webhookDrainTimeout,
                "webhook-extra-names": webhookExtraNames, "webhook-authority-lifetime": webhookAuthorityLifetime,
                "webhook-certificate-lifetime": webhookCertificateLifetime, "webhook-settle-time": webhookSettleTime,
            ].compactMapValues { $0 },
            environment: ProcessInfo.processInfo.environment)
        LogOutput.bootstrap(level: settings.logLevel, format: settings.logFormat)
        try await OperatorProcess(settings: settings).run()
    }
}
