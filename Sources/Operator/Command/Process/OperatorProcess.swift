import AgentAPI
import Controller
import CRD
import Foundation
import Kubernetes
import Logging
import ServiceLifecycle

/// The running operator: servers, Events, election and, while it leads, the controller.
struct OperatorProcess {
    let settings: OperatorSettings
    private let logger = Logger(label: "operator")

    init(settings: OperatorSettings) {
        self.settings = settings
    }

    /// Until SIGTERM or SIGINT.
    ///
    /// - Throws: ``OperatorFailure``.
    func run() async throws {
        let configuration = try clientConfiguration()
        let systemNamespace =
            settings.systemNamespace
            ?? (configuration.origin == "in-cluster" ? configuration.namespace : "modelcache-system")
        logger.info(
            "starting",
            metadata: [
                "version": "\(Release.version)", "server": "\(configuration.server)",
                "from": "\(configuration.origin)",
                "system-namespace": "\(systemNamespace)", "namespace": "\(settings.namespace ?? "all")",
                "agent-image": "\(settings.agentImage)",
            ])

        let registry = MetricsRegistry()
        ProcessMetrics.register(in: registry)
        registry.gauge("modelcache_build_info", help: "Always 1: the operator's release.", labels: ["version"])[
            Release.version
        ].set(1)
        let clients = try makeClients(configuration, registry)
        let (client, leases) = (clients.controller, clients.leases)

        let identity = settings.election?.identity ?? LeaderElectionOptions.uniqueIdentity()
        let events = EventRecorder(
            sink: APIEventSink(client: leases), component: "modelcache-operator", instance: identity, metrics: registry,
            logger: Logger(label: "events"))
        let readiness = Readiness()
        let elector = settings.election.map {
            LeaderElector(
                store: APILeaseStore(client: leases), namespace: systemNamespace, name: "modelcache-operator",
                options: $0, events: events, metrics: registry,
                logger: Logger(label: "leader-election"))
        }
        let controller = try makeController(client, systemNamespace, events, registry)
        let drain = settings.webhook?.drain ?? .zero
        let control = ControlService(
            client: client, controller: controller, elector: elector, shutdownTimeout: settings.shutdownTimeout,
            lastLimit: settings.shutdownTimeout + drain + .seconds(8),
            logger: logger)
        control.addChecks(to: readiness)

        // Ended last first: the controller hands over at once, the webhook answers on while the cluster turns to other
        // replicas, and probes, metrics and Events still work.
        var services: [any Service] = [EventsService(recorder: events)]
        if let address = settings.metrics {
            let gate = ReportGate(systemNamespace: systemNamespace, client: clients.reviews, logger: logger)
            services.append(
                HTTPServer.metrics(address, registry: registry, controller: controller, gate: gate, logger: logger))
        }
        if let address = settings.probes {
            services.append(HTTPServer.probes(address, readiness: readiness, logger: logger))
        }
        if let webhook = settings.webhook {
            Injection(
                settings: webhook, validation: settings.validation, client: client,
                namespace: systemNamespace, controller: controller, leads: { elector?.isLeader ?? true },
                isServerFound: { control.isConnected }, registry: registry
            ).add(to: &services, readiness)
        }
        services.append(control)
        try await run(services, drain: drain)
        for one in [client, leases, clients.reviews] { try? await one.shutdown() }
        logger.info("ended")
    }

    private func clientConfiguration() throws -> ClientConfiguration {
        do {
            return try ClientConfiguration.load(kubeconfig: settings.kubeconfig, context: settings.context)
        } catch let error as ConfigurationError {
            throw OperatorFailure.wrongSetting("\(error)")
        }
    }

    /// Each has connections of its own.
    private struct Clients {
        let controller: KubernetesClient
        let leases: KubernetesClient
        let reviews: KubernetesClient
    }

    private func makeClients(
        _ configuration: ClientConfiguration, _ registry: MetricsRegistry
    ) throws -> Clients {
        let requests = RequestMetrics(registry, host: Self.host(of: configuration.server))
        var options = ClientOptions()
        options.userAgent = "modelcache-operator/\(Release.version)"
        let controller = try makeClient(configuration, options, requests)
        // Renewals must not wait behind the controller's requests.
        options.maximumConnections = 4
        let leases = try makeClient(configuration, options, requests)
        // Any pod may send tokens to the metrics port: they take no connection from others, and none for long.
        options.maximumConnections = 2
        options.requestTimeout = .seconds(5)
        return Clients(
            controller: controller, leases: leases, reviews: try makeClient(configuration, options, requests))
    }

    /// Until one of them fails, or a signal ends them all.
    private func run(_ services: [any Service], drain: Duration) async throws {
        var group = ServiceGroupConfiguration(
            services: services.map {
                .init(
                    service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
                    failureTerminationBehavior: .cancelGroup)
            },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "services", factory: { _ in SwiftLogNoOpLogHandler() }))
        group.maximumGracefulShutdownDuration = settings.shutdownTimeout + drain + .seconds(3)
        do {
            try await ServiceGroup(configuration: group).run()
        } catch let failure as OperatorFailure {
            throw failure
        } catch let lost as LeaseLost {
            throw OperatorFailure.leaseLost("\(lost); ending, to be started again")
        } catch is CancellationError {
            logger.warning("not everything ended in time", metadata: ["timeout": "\(settings.shutdownTimeout)"])
        } catch {
            throw OperatorFailure.unexpected("\(error)")
        }
    }

    private func makeClient(_ configuration: ClientConfiguration, _ options: ClientOptions, _ requests: RequestMetrics)
        throws -> KubernetesClient
    {
        do {
            return try KubernetesClient(
                configuration: configuration, options: options, observer: requests, logger: Logger(label: "kubernetes"))
        } catch {
            throw OperatorFailure.wrongSetting("\(error)")
        }
    }

    private func makeController(
        _ client: KubernetesClient, _ systemNamespace: String, _ events: EventRecorder, _ registry: MetricsRegistry
    ) throws -> ModelCacheController {
        do {
            return try ModelCacheController(
                client: client,
                options: ControllerOptions(
                    namespace: settings.namespace, systemNamespace: systemNamespace, agentImage: settings.agentImage,
                    agentPort: settings.agentPort,
                    workers: settings.reconciles,
                    validation: settings.validation,
                    serviceAccountIssuer: settings.serviceAccountIssuer,
                    allowsUnverifiedCallers: settings.allowUnverifiedCallers,
                    podTemplate: settings.podTemplate, diskPath: settings.diskPath,
                    agentNodeSelector: settings.agentNodeSelector, stsEndpoint: settings.stsEndpoint,
                    startDeadline: settings.warmupStartDeadline, sourceCheckInterval: settings.sourceCheckInterval),
                recorder: events, metrics: registry, logger: Logger(label: "controller"))
        } catch {
            throw OperatorFailure.wrongSetting("\(error)")
        }
    }

    /// `host:port`, as the client reports it with each request.
    private static func host(of server: String) -> String? {
        guard let parts = URLComponents(string: server), let host = parts.host else { return nil }
        return "\(host):\(parts.port ?? (parts.scheme == "http" ? 80 : 443))"
    }
}

/// Writes Events until the shutdown reaches it, which is after the controller's.
private struct EventsService: Service {
    let recorder: EventRecorder

    func run() async throws {
        await cancelWhenGracefulShutdown { await recorder.run() }
    }
}
