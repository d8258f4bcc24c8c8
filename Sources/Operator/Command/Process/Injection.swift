import Admission
import CRD
import Controller
import Kubernetes
import Logging
import ServiceLifecycle
import Synchronization

/// The webhook's part of the process: what it asks, its certificates, its server. The same in every replica, leading or
/// not.
struct Injection {
    private let services: [any Service]
    private let check: Readiness.Check

    init(
        settings: WebhookSettings, validation: ValidationPolicy, client: KubernetesClient, namespace: String,
        controller: ModelCacheController,
        leads: @escaping @Sendable () -> Bool,
        isServerFound: @escaping @Sendable () -> Bool, registry: MetricsRegistry
    ) {
        let certificate = ServingCertificate()
        let logger = Logger(label: "webhook")
        let server = WebhookServer(
            host: settings.address.host, port: settings.address.port,
            source: Lookup(controller: controller, systemNamespace: namespace),
            policy: validation, certificate: certificate, drain: settings.drain, metrics: registry,
            logger: logger)
        let isTrusted: @Sendable () -> Bool
        let certificates: any Service
        switch settings.certificates {
        case .files(let folder):
            certificates = CertificateFiles(folder: folder, serving: certificate, logger: logger)
            isTrusted = { certificate.isValid }
        case .own:
            var policy = CertificateRotation.Policy(
                names: CertificateRotation.Policy.serviceNames(namespace: namespace).union(settings.extraNames))
            policy.authorityLifetime = settings.authorityLifetime ?? policy.authorityLifetime
            policy.servingLifetime = settings.certificateLifetime ?? policy.servingLifetime
            policy.settleTime = settings.settleTime ?? policy.settleTime
            let keeper = CertificateKeeper(
                client: client, namespace: namespace, policy: policy, leads: leads, serving: certificate, logger: logger
            )
            certificates = keeper
            isTrusted = { keeper.isTrusted }
        }
        // Ended last first: what the server asks outlives it.
        services = [
            Followed(controller: controller, isServerFound: isServerFound),
            AfterServer(service: certificates, isServerFound: isServerFound),
            NamedServer(server: server, address: settings.address),
        ]
        check = {
            if !server.isListening { return "it does not listen" }
            if !isTrusted() { return "it has no certificate that the API server trusts" }
            return controller.isFollowing ? nil : "the ModelCaches are not listed yet"
        }
    }

    func add(to services: inout [any Service], _ readiness: Readiness) {
        services += self.services
        readiness.add("webhook", check)
    }
}

/// The controller's stores, as the webhook asks them.
private final class Lookup: InjectionSource {
    /// One `kubectl apply` makes a ModelCache and the pods that name it within milliseconds; the watch may tell of it
    /// after the webhook was asked. The API server waits three seconds.
    private static let patience: Duration = .seconds(1)
    private static let pause: Duration = .milliseconds(25)
    /// Pods with a name that is wrong wait as well: no more than these at a time.
    private static let mostWaiting = 64

    private let controller: ModelCacheController
    private let systemNamespace: String
    private let waiting = Mutex(0)

    init(controller: ModelCacheController, systemNamespace: String) {
        self.controller = controller
        self.systemNamespace = systemNamespace
    }

    func target(namespace: String, name: String) async -> InjectionTarget? {
        guard let facts = await facts(namespace: namespace, name: name) else { return nil }
        return InjectionTarget(
            name: facts.name, namespace: facts.namespace, uid: facts.uid, claimName: facts.claimName,
            environment: facts.environment, directKeys: facts.directKeys, ready: facts.isReady,
            warmNodeHostnames: facts.warmHostnames, totalBytes: facts.totalBytes, deleting: facts.isDeleting,
            agentImage: facts.agentImage,
            podTemplate: facts.podTemplate,
            unresolved: facts.problem)
    }

    private func facts(namespace: String, name: String) async -> InjectionFacts? {
        if let facts = controller.injection(namespace: namespace, name: name) { return facts }
        let mayWait = waiting.withLock { count in
            guard count < Self.mostWaiting else { return false }
            count += 1
            return true
        }
        guard mayWait else { return nil }
        defer { waiting.withLock { $0 -= 1 } }
        let end = ContinuousClock.now + Self.patience
        while ContinuousClock.now < end {
            do { try await Task.sleep(for: Self.pause) } catch { return nil }
            if let facts = controller.injection(namespace: namespace, name: name) { return facts }
        }
        return nil
    }

    func names(namespace: String) async -> [String] { controller.names(in: namespace) }

    func dependents(of prerequisite: Prerequisite) async -> [ObjectKey] {
        if case .namespace(let name) = prerequisite, name != systemNamespace { return [] }
        // A caller that saw the last one go may ask before this replica's watch has told of it.
        let end = ContinuousClock.now + Self.patience
        while !controller.modelCaches.isEmpty, ContinuousClock.now < end {
            do { try await Task.sleep(for: Self.pause) } catch { break }
        }
        return controller.modelCaches
    }
}

/// ModelCaches and nodes, followed in every replica, leading or not.
private struct Followed: Service {
    let controller: ModelCacheController
    let isServerFound: @Sendable () -> Bool

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await wait(isServerFound)
                try await controller.follow()
            }
        } catch is CancellationError {}
    }
}

/// Starts a service when the API server has answered: a wrong address is told once, by ``ControlService``.
private struct AfterServer: Service {
    let service: any Service
    let isServerFound: @Sendable () -> Bool

    func run() async throws {
        do { try await cancelWhenGracefulShutdown { try await wait(isServerFound) } } catch is CancellationError {
            return
        }
        try await service.run()
    }
}

private func wait(_ condition: @Sendable () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(50)) }
}

/// Says which setting is at fault when the address cannot be had.
private struct NamedServer<Server: Service>: Service {
    let server: Server
    let address: BindAddress

    func run() async throws {
        do {
            try await server.run()
        } catch is CancellationError {
        } catch {
            throw OperatorFailure.wrongSetting(
                "--webhook-bind-address: cannot listen on \(address): \(error); choose another address, or 0 for none")
        }
    }
}
