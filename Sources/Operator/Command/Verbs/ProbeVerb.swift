import ArgumentParser
import Foundation
import Kubernetes
import Logging

/// For `helm test`: the images have no other program that could ask.
struct ProbeVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "Ask a running operator for its metrics, until it responds.",
        discussion: """
            A Service sends requests to ready replicas alone, so a response through it says that the operator is ready: \
            it has listed what it watches, and the API server trusts the webhook's certificate.

            EXIT CODES
              0   it responded
              69  it did not within --timeout

            EXAMPLE
              modelcache-operator probe http://modelcache-operator-metrics:8080
            """)

    @Argument(help: ArgumentHelp("The operator's metrics address.", valueName: "url"))
    var address: String

    @Option(
        help: ArgumentHelp("How long it is asked. Default: 1m.", valueName: "duration"),
        transform: GoDuration.flag)
    var timeout: Duration = .seconds(60)

    private static let pause = Duration.seconds(1)
    /// The metric that every operator has.
    private static let expected = "modelcache_build_info{version=\""

    func run() async throws {
        var options = ClientOptions()
        options.userAgent = "modelcache-operator-probe"
        let client: KubernetesClient
        do {
            client = try KubernetesClient(
                configuration: ClientConfiguration(server: address), options: options, logger: Logger(label: "probe"))
        } catch {
            throw OperatorFailure.wrongSetting("\(error)")
        }
        let found = await version(client)
        try? await client.shutdown()
        guard let found else { throw OperatorFailure.unreachable("no operator responded at \(address) in \(timeout)") }
        print("operator \(found) is ready")
    }

    /// - Returns: the release of the operator; nil: none responded in time.
    private func version(_ client: KubernetesClient) async -> String? {
        let deadline = ContinuousClock.now + timeout
        while true {
            if let body = try? await client.raw("/metrics", accept: "text/plain") {
                let text = String(decoding: body, as: UTF8.self)
                if let start = text.range(of: Self.expected)?.upperBound {
                    return String(text[start...].prefix { $0 != "\"" })
                }
            }
            guard ContinuousClock.now < deadline else { return nil }
            try? await Task.sleep(for: Self.pause)
        }
    }
}
