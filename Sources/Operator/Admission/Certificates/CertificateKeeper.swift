internal import FoundationEssentials
public import Kubernetes
public import Logging
public import ServiceLifecycle
internal import Synchronization
internal import X509

/// Keeps the webhook's own certificates: makes and rotates them (``CertificateRotation``) in the Secret
/// `modelcache-webhook-certificate`, has the API servers believe them (`caBundle` of the MutatingWebhookConfiguration
/// and of the ValidatingWebhookConfiguration `modelcache-operator`), and hands them to the server.
///
/// **Guarantees.** It follows these objects by watch and asks nothing while nothing changes. A damaged Secret or bundle
/// is mended, also one that somebody wrote over. A certificate is shown only when API servers can believe it, unless
/// there is no other. Of two that write at once one is refused and reads the other's. The keys are in no log line.
///
/// Without a ValidatingWebhookConfiguration, or the rights to it, it does the rest: pods come first.
///
/// **Rights.** Secrets in the system namespace: create, and list, watch, update of this one; both configurations: list,
/// watch, patch.
public final class CertificateKeeper: Service {
    private let client: KubernetesClient
    private let namespace: String
    private let policy: CertificateRotation.Policy
    private let leads: @Sendable () -> Bool
    private let serving: ServingCertificate
    private let logger: Logger
    private let secrets: Reflector<Secret, Secret>
    private let mutating: Reflector<WebhookConfiguration<MutatingWebhooks>, TrustedAuthorities>
    private let validating: Reflector<WebhookConfiguration<ValidatingWebhooks>, TrustedAuthorities>
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let trusted = Mutex(false)

    /// - Parameters:
    ///   - namespace: the operator's own.
    ///   - leads: whether this replica rotates; asked before each step.
    public init(
        client: KubernetesClient, namespace: String, policy: CertificateRotation.Policy,
        leads: @escaping @Sendable () -> Bool, serving: ServingCertificate,
        logger: Logger
    ) {
        self.client = client
        self.namespace = namespace
        self.policy = policy
        self.leads = leads
        self.serving = serving
        self.logger = logger
        secrets = Reflector(
            client: client, namespace: namespace,
            selecting: ListOptions(fieldSelector: "metadata.name=\(WebhookSecret.name)"), logger: logger
        ) { $0 }
        let own = ListOptions(fieldSelector: "metadata.name=\(WebhookConfiguration<MutatingWebhooks>.key.name)")
        mutating = Reflector(client: client, selecting: own, logger: logger) { TrustedAuthorities($0) }
        validating = Reflector(client: client, selecting: own, logger: logger) { TrustedAuthorities($0) }
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        secrets.addHandler { [signal] _ in signal.yield() }
        mutating.addHandler { [signal] _ in signal.yield() }
        validating.addHandler { [signal] _ in signal.yield() }
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
                    group.addTask { try await self.mutating.run() }
                    group.addTask { try await self.validating.run() }
                    group.addTask {
                        while true {
                            try await Task.sleep(for: tick)
                            self.signal.yield()
                        }
                    }
                    group.addTask {
                        try await self.secrets.waitUntilSynced()
                        try await self.mutating.waitUntilSynced()
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

    /// The authorities that API servers believe, by what they ask about.
    private struct Believed {
        let pods: TrustedAuthorities?
        /// Nil: nobody asks about ModelCaches.
        let modelCaches: TrustedAuthorities?

        func contains(_ certificate: Certificate) -> Bool {
            (pods?.contains(certificate) ?? false) && (modelCaches?.contains(certificate) ?? true)
        }
    }

    /// The state that one turn leaves to the next.
    private struct Round {
        /// The Secret as last written, until the watch shows it or a later one.
        var written: (over: String, secret: Secret)?
        var parsed: (version: String, secret: WebhookSecret, stored: CertificateRotation.Stored)?
        /// The versions of the configurations that were patched: the watch will show the next.
        var patched: [String: String] = [:]
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
        } catch let error as KubernetesError
            where error.isConflict || error.isAlreadyExists || error.isInvalid && !round.isRefused
        {
            // Another wrote first (a patch made for another version is "invalid"). The watch brings the other's
            // version.
            logger.debug("written by another meanwhile", metadata: ["reason": "\(error)"])
            round.isRefused = true
            round.pause = .now + .milliseconds(200)
        } catch {
            complain(&round, "\(error)")
            round.pause = .now + .seconds(2)
        }
    }

    private func turn(_ round: inout Round) async throws {
        let believed = Believed(
            pods: mutating.store.get(WebhookConfiguration<MutatingWebhooks>.key),
            modelCaches: validating.store.get(WebhookConfiguration<ValidatingWebhooks>.key))
        let secret = current(&round)
        if let secret, round.parsed?.version != secret.resourceVersion {
            let parsed = WebhookSecret(secret.data ?? [:])
            round.parsed = (secret.resourceVersion, parsed, parsed.stored)
        }
        let parsed = secret == nil ? nil : round.parsed

        if let parsed {
            // First what is there: a certificate in hand is shown while the next is made.
            try show(parsed.secret, believed, &round)
            if let pods = believed.pods {
                try await publish(parsed.secret, to: WebhookConfiguration<MutatingWebhooks>.self, pods, &round)
            } else {
                complain(
                    &round,
                    "there is no MutatingWebhookConfiguration \(WebhookConfiguration<MutatingWebhooks>.key.name); "
                        + "apply config/webhook, or set --webhook-bind-address 0")
            }
            if let modelCaches = believed.modelCaches {
                try await publish(parsed.secret, to: WebhookConfiguration<ValidatingWebhooks>.self, modelCaches, &round)
            }
        }
        let isAuthorityTrusted = parsed?.secret.authority.map { believed.contains($0) } ?? false
        let step = CertificateRotation.next(
            parsed?.stored, isAuthorityTrusted: isAuthorityTrusted, leads: leads(), policy, now: .now)
        if let next = try (parsed?.secret ?? WebhookSecret()).after(step, policy, now: .now) {
            try await write(next, over: secret, step, &round)
        }
    }

    private func current(_ round: inout Round) -> Secret? {
        let seen = secrets.store.get(ObjectKey(namespace: namespace, name: WebhookSecret.name))
        guard let written = round.written else { return seen }
        if (seen?.resourceVersion ?? "") == written.over { return written.secret }
        round.written = nil
        return seen
    }

    private func write(
        _ next: WebhookSecret, over secret: Secret?, _ step: CertificateRotation.Step, _ round: inout Round
    ) async throws {
        let options = WriteOptions(fieldManager: "modelcache-operator")
        let stored: Secret
        if var secret {
            // With its version in it: a write by another in between is a conflict.
            secret.data = next.data
            stored = try await client.update(secret, options)
        } else {
            let made = Secret(
                metadata: ObjectMeta(
                    name: WebhookSecret.name, namespace: namespace,
                    labels: ["app.kubernetes.io/managed-by": "modelcache-operator"]),
                type: "Opaque", data: next.data)
            stored = try await client.create(made, options)
        }
        logger.notice("webhook certificates changed", metadata: ["step": "\(step.word)", "reason": "\(step.reason)"])
        round.written = (secrets.store.get(stored.objectKey)?.resourceVersion ?? "", stored)
        signal.yield()
    }

    /// Hands the certificate to the server, unless API servers would refuse it and the one before still holds.
    private func show(_ secret: WebhookSecret, _ believed: Believed, _ round: inout Round) throws {
        let isBelieved = secret.servingSigner.map { believed.contains($0) } ?? false
        if isBelieved || !serving.isValid, !secret.servingPEM.isEmpty {
            do throws(UnusableCertificate) {
                if try serving.load(chain: secret.servingPEM, key: secret.servingKeyPEM) {
                    logger.info(
                        "webhook certificate loaded",
                        metadata: ["expires": "\(serving.notAfter.map { $0.formatted(.iso8601) } ?? "")"])
                }
            } catch {
                // The leader makes it anew; the one before stays.
                complain(&round, "\(namespace)/\(WebhookSecret.name): \(error)")
            }
        }
        // Of a certificate that is not shown yet nothing follows for the one that is.
        if serving.shows(secret.servingPEM) { trusted.withLock { $0 = isBelieved } }
    }

    private func publish<Kind>(
        _ secret: WebhookSecret, to kind: WebhookConfiguration<Kind>.Type, _ configuration: TrustedAuthorities,
        _ round: inout Round
    ) async throws {
        guard round.patched[Kind.name] != configuration.resourceVersion, !secret.trusted.isEmpty else { return }
        // The leader keeps it exact. Another mends only what would make every call fail: before the first one leads,
        // say.
        let isBroken = secret.servingSigner.map { !configuration.contains($0) } ?? false
        guard leads() || isBroken, let patch = try configuration.patch(to: secret.trusted) else { return }
        _ = try await client.patch(kind, kind.key, patch, WriteOptions(fieldManager: "modelcache-operator"))
        round.patched[Kind.name] = configuration.resourceVersion
        logger.info(
            "caBundle written", metadata: ["kind": "\(Kind.name)", "authorities": "\(secret.trusted.count)"])
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
        case .replaceAll(let reason), .introduceAuthority(let reason), .renewServing(let reason),
            .dropOldAuthority(let reason):
            reason
        }
    }
}
