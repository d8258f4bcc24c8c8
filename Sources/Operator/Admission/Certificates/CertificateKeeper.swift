internal import FoundationEssentials
public import Kubernetes
public import Logging
public import ServiceLifecycle
internal import Synchronization
internal import X509

/// Keeps the webhook's own certificates: makes and rotates them (``CertificateRotation``) in the Secret `modelcache-webhook-certificate`, has the API
/// servers believe them (`caBundle` of the MutatingWebhookConfiguration `modelcache-operator`), and hands them to the server.
///
/// **Guarantees.** It follows both objects by watch and asks nothing while nothing changes. A damaged Secret or bundle is mended, also one that
/// somebody wrote over. A certificate is shown only when API servers can believe it, unless there is no other. Of two that write at
/// once one is refused and reads the other's. The keys are in no log line.
///
/// **Rights.** Secrets in the system namespace: create, and list, watch, update of this one; the MutatingWebhookConfiguration: list, watch, patch.
public final class CertificateKeeper: Service {
    private let client: KubernetesClient
    private let namespace: String
    private let policy: CertificateRotation.Policy
    private let leads: @Sendable () -> Bool
    private let serving: ServingCertificate
    private let logger: Logger
    private let secrets: Reflector<Secret, Secret>
    private let configurations: Reflector<MutatingWebhookConfiguration, TrustedAuthorities>
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let trusted = Mutex(false)

    /// - Parameters:
    ///   - namespace: the operator's own.
    ///   - leads: whether this replica rotates; asked before each step.
    public init(
        client: KubernetesClient, namespace: String, policy: CertificateRotation.Policy, leads: @escaping @Sendable () -> Bool, serving: ServingCertificate,
        logger: Logger
    ) {
        self.client = client
        self.namespace = namespace
        self.policy = policy
        self.leads = leads
        self.serving = serving
        self.logger = logger
        secrets = Reflector(
            client: client, namespace: namespace, selecting: ListOptions(fieldSelector: "metadata.name=\(WebhookSecret.name)"), logger: logger
        ) { $0 }
        configurations = Reflector(
            client: client, selecting: ListOptions(fieldSelector: "metadata.name=\(MutatingWebhookConfiguration.name)"), logger: logger
        ) { TrustedAuthorities($0) }
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        secrets.addHandler { [signal] _ in signal.yield() }
        configurations.addHandler { [signal] _ in signal.yield() }
    }

    /// A certificate is loaded that holds now, and the API server has been told to believe it.
    public var isTrusted: Bool { trusted.withLock { $0 } && serving.isValid }

    public func run() async throws {
        // Leading, and the time, come without an event.
        let tick = min(max(policy.settleTime / 4, .milliseconds(100)), .seconds(5))
        do {
            try await cancelWhenGracefulShutdown {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.secrets.run() }
                    group.addTask { try await self.configurations.run() }
                    group.addTask {
                        while true {
                            try await Task.sleep(for: tick)
                            self.signal.yield()
                        }
                    }
                    group.addTask {
                        try await self.secrets.waitUntilSynced()
                        try await self.configurations.waitUntilSynced()
                        var round = Round()
                        self.signal.yield()
                        for await _ in self.signals { await self.work(&round) }
                        throw CancellationError()
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
        } catch is CancellationError {}
    }

    /// What one turn leaves to the next.
    private struct Round {
        /// The Secret as last written, until the watch shows it or a later one.
        var written: (over: String, secret: Secret)?
        var parsed: (version: String, secret: WebhookSecret, stored: CertificateRotation.Stored)?
        /// The configuration's version that was patched: the watch will show the next.
        var patched: String?
        var complaint: String?
        /// The complaint of the turn before.
        var told: String?
        /// The last turn met another's write.
        var isRefused = false
        /// After a refused write, until then.
        var pause: ContinuousClock.Instant?
    }

    private func work(_ round: inout Round) async {
        if let pause = round.pause, ContinuousClock.now < pause { return }
        round.pause = nil
        round.told = round.complaint
        round.complaint = nil
        do {
            try await turn(&round)
            round.isRefused = false
        } catch is CancellationError {
        } catch let error as KubernetesError where error.isConflict || error.isAlreadyExists || error.isInvalid && !round.isRefused {
            // Another wrote first (a patch made for another version is "invalid"). What it wrote comes by the watch.
            logger.debug("written by another meanwhile", metadata: ["reason": "\(error)"])
            round.isRefused = true
            round.pause = .now + .milliseconds(200)
        } catch {
            complain(&round, "\(error)")
            round.pause = .now + .seconds(2)
        }
    }

    private func turn(_ round: inout Round) async throws {
        let configuration = configurations.store.get(ObjectKey(namespace: "", name: MutatingWebhookConfiguration.name))
        let secret = current(&round)
        if let secret, round.parsed?.version != secret.resourceVersion {
            let parsed = WebhookSecret(secret.data ?? [:])
            round.parsed = (secret.resourceVersion, parsed, parsed.stored)
        }
        let parsed = secret == nil ? nil : round.parsed

        if let parsed {
            // First what is there: a certificate in hand is shown while the next is made.
            try show(parsed.secret, configuration, &round)
            try await publish(parsed.secret, configuration, &round)
        }
        let isAuthorityTrusted = parsed?.secret.authority.map { configuration?.contains($0) ?? false } ?? false
        let step = CertificateRotation.next(parsed?.stored, isAuthorityTrusted: isAuthorityTrusted, leads: leads(), policy, now: .now)
        if let next = try (parsed?.secret ?? WebhookSecret()).after(step, policy, now: .now) { try await write(next, over: secret, step, &round) }
    }

    private func current(_ round: inout Round) -> Secret? {
        let seen = secrets.store.get(ObjectKey(namespace: namespace, name: WebhookSecret.name))
        guard let written = round.written else { return seen }
        if (seen?.resourceVersion ?? "") == written.over { return written.secret }
        round.written = nil
        return seen
    }

    private func write(_ next: WebhookSecret, over secret: Secret?, _ step: CertificateRotation.Step, _ round: inout Round) async throws {
        let options = WriteOptions(fieldManager: "modelcache-operator")
        let stored: Secret
        if var secret {
            // With its version in it: a write by another in between is a conflict.
            secret.data = next.data
            stored = try await client.update(secret, options)
        } else {
            let made = Secret(
                metadata: ObjectMeta(
                    name: WebhookSecret.name, namespace: namespace, labels: ["app.kubernetes.io/managed-by": "modelcache-operator"]),
                type: "Opaque", data: next.data)
            stored = try await client.create(made, options)
        }
        logger.notice("webhook certificates changed", metadata: ["step": "\(step.word)", "reason": "\(step.reason)"])
        round.written = (secrets.store.get(stored.objectKey)?.resourceVersion ?? "", stored)
        signal.yield()
    }

    /// Hands the certificate to the server, unless API servers would refuse it and the one before still holds.
    private func show(_ secret: WebhookSecret, _ configuration: TrustedAuthorities?, _ round: inout Round) throws {
        let isBelieved = secret.servingSigner.map { configuration?.contains($0) ?? false } ?? false
        if isBelieved || !serving.isValid, !secret.servingPEM.isEmpty {
            do throws(UnusableCertificate) {
                if try serving.load(chain: secret.servingPEM, key: secret.servingKeyPEM) {
                    logger.info("webhook certificate loaded", metadata: ["expires": "\(serving.notAfter.map { $0.formatted(.iso8601) } ?? "")"])
                }
            } catch {
                // The leader makes it anew; the one before stays.
                complain(&round, "\(namespace)/\(WebhookSecret.name): \(error)")
            }
        }
        // Of a certificate that is not shown yet nothing follows for the one that is.
        if serving.shows(secret.servingPEM) { trusted.withLock { $0 = isBelieved } }
    }

    private func publish(_ secret: WebhookSecret, _ configuration: TrustedAuthorities?, _ round: inout Round) async throws {
        guard let configuration else {
            return complain(&round, "there is no MutatingWebhookConfiguration \(MutatingWebhookConfiguration.name); apply config/webhook, or set --webhook-bind-address 0")
        }
        guard round.patched != configuration.resourceVersion, !secret.trusted.isEmpty else { return }
        // The leader keeps it exact. Another mends only what would make every call fail: before the first one leads, say.
        let isBroken = secret.servingSigner.map { !configuration.contains($0) } ?? false
        guard leads() || isBroken, let patch = try configuration.patch(to: secret.trusted) else { return }
        _ = try await client.patch(
            MutatingWebhookConfiguration.self, ObjectKey(namespace: "", name: MutatingWebhookConfiguration.name), patch,
            WriteOptions(fieldManager: "modelcache-operator"))
        round.patched = configuration.resourceVersion
        logger.info("caBundle written", metadata: ["authorities": "\(secret.trusted.count)"])
    }

    /// Once for each problem, not at each turn.
    private func complain(_ round: inout Round, _ problem: String) {
        round.complaint = problem
        guard round.told != problem else { return }
        logger.warning("webhook certificates", metadata: ["problem": "\(problem)"])
    }
}

extension CertificateRotation.Step {
    var word: String {
        switch self {
        case .nothing: "nothing"
        case .create: "create"
        case .replaceAll: "replace all"
        case .introduceAuthority: "introduce the next CA"
        case .renewServing: "renew the certificate"
        case .dropOldAuthority: "drop the old CA"
        }
    }

    var reason: String {
        switch self {
        case .nothing: ""
        case .create: "there was none"
        case .replaceAll(let reason), .introduceAuthority(let reason), .renewServing(let reason), .dropOldAuthority(let reason): reason
        }
    }
}
