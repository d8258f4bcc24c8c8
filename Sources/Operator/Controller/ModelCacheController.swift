internal import AgentAPI
internal import CRD
internal import struct Foundation.Data
public import Kubernetes
public import Logging
internal import Synchronization

/// Makes every ModelCache of the cluster come true.
///
/// ```swift
/// let controller = try ModelCacheController(
///     client: client, options: options, recorder: recorder, metrics: registry, logger: logger)
/// try await controller.run()
/// ```
///
/// **Guarantees.** It may be ended at any point, also killed: names and decisions follow from what the API server and the agents
/// say, so the next run goes on and makes nothing twice. It writes nothing when nothing changed, and when nothing happens it asks
/// the API server nothing but, every 300 s, the token keys. No object makes it crash.
///
/// **Assumptions.** One runs at a time (leader election). The recorder's `run()` is run by whoever made it. Replicas that do not run
/// may ``follow()``, and then answer ``injection(namespace:name:)`` too.
///
/// **Rights.** ModelCaches: get, list, watch, patch; their status: patch; Jobs, PersistentVolumeClaims, PersistentVolumes: get,
/// list, watch, create, delete; Nodes: list, watch; Secrets: get, and create in the system namespace; Pods: list, watch; the
/// documents of ``IssuerDocuments``: get.
public final class ModelCacheController: Sendable {
    private let client: KubernetesClient
    private let options: ControllerOptions
    private let logger: Logger
    let world: World
    let entries: SecretEntries
    private let watches: Watches
    private let missedPods: MissedPods
    private let queue: WorkQueue<ObjectKey>
    private let agents: AgentClient
    private let poller: AgentPoller
    private let sweep: OrphanSweep
    private let resolutions: ResolutionRunner
    private let reconciler: Reconciler
    private let directory = Mutex(AgentDirectory())
    private let role = Mutex(Role())
    private let auth: AgentAuth
    private let callerKeys: CallerKeys
    private let authSignals: AsyncStream<Void>
    /// Ends when the shared Secret has been read once: unsigned questions are refused, and look like agents out of reach.
    private let authLoaded = AsyncStream.makeStream(of: Void.self)
    /// Ends with ``stop()``.
    private let stopped = AsyncStream.makeStream(of: Void.self)

    /// What this process does at the moment.
    private struct Role {
        var isFollowing = false
        var isControlling = false
    }

    /// Changes that come in bursts (the Jobs of one ModelCache, the nodes of a cluster) make one plan.
    private static let gathering: Duration = .milliseconds(20)
    /// Bytes that moved.
    private static let progressGathering: Duration = .seconds(1)
    /// At most this often is the shared Secret read again because agents refuse the signature.
    private static let authPause: Duration = .seconds(30)

    /// - Throws: when the engine for listing sources cannot be started; the message names the setting.
    public init(
        client: KubernetesClient, options: ControllerOptions, recorder: EventRecorder, metrics: MetricsRegistry, logger: Logger
    ) throws {
        self.client = client
        self.options = options
        self.logger = logger
        let world = World(image: options.agentImage, validation: options.validation)
        let queue = WorkQueue<ObjectKey>(
            name: "modelcache", rateLimit: QueueRateLimit(most: .seconds(30), perSecond: nil), metrics: metrics, logger: logger)
        let agents = AgentClient()
        let sweep = OrphanSweep(client: client, agents: agents, world: world, namespace: options.namespace, logger: logger)
        let (authSignals, authSignal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let poller = AgentPoller(
            client: agents, world: world, logger: logger,
            wake: { wakes in
                for key in wakes.urgent { queue.add(key, after: Self.gathering) }
                for key in wakes.progress { queue.add(key, priority: .routine, after: Self.progressGathering) }
            },
            inspect: { report, address in sweep.inspect(report, address) },
            refused: { authSignal.yield() })
        let wake: @Sendable ([ObjectKey]) -> Void = { queue.add($0) }
        entries = SecretEntries { key in try await client.find(Secret.self, key) }
        let resolver = try SourceResolver(allowsLoopback: options.validation.allowsLoopbackEndpoints) { key in try await client.find(Secret.self, key) }
        let resolutions = ResolutionRunner(world: world, resolver: resolver, logger: logger, wake: wake)
        let applier = Applier(
            client: client, agents: agents, poller: poller, world: world, recorder: recorder, logger: logger, wake: wake,
            resolve: { cache, template, secretOnly in
                guard case .valid(let spec) = world.reading(cache.objectKey) else { return }
                resolutions.start(cache, spec: spec, regions: world.regions(for: spec), secretOnly: secretOnly)
            })
        reconciler = Reconciler(
            world: world, applier: applier, writer: StatusWriter(client: client, world: world, recorder: recorder), logger: logger)
        watches = Watches(client: client, options: options, logger: logger)
        missedPods = MissedPods(client: client, namespace: options.namespace, metrics: metrics, logger: logger)
        auth = AgentAuth(client: client, namespace: options.systemNamespace)
        callerKeys = CallerKeys(
            issuer: options.serviceAccountIssuer, allowsUnverified: options.allowsUnverifiedCallers, metrics: metrics, logger: logger
        ) { path in
            Data(try await client.raw(path, accept: "application/json, application/jwk-set+json"))
        }
        _ = world.set(callerKeys.knowledge)
        self.world = world
        self.queue = queue
        self.agents = agents
        self.poller = poller
        self.sweep = sweep
        self.resolutions = resolutions
        self.authSignals = authSignals
        ControllerMetrics(metrics).collect { [weak self] in
            // Else a sum over all replicas would count each ModelCache several times.
            guard let self, self.isControlling else { return World.Census() }
            return self.world.census
        }
        connect()
    }

    /// Whether all watches have brought their first list: what readiness asks.
    public var hasSynced: Bool { watches.haveSynced }

    /// Whether ModelCaches and nodes are known: what the readiness of a replica that does not lead may ask.
    public var isFollowing: Bool { watches.areFollowed }

    /// ``run()`` is under way: agents are asked.
    var isControlling: Bool { role.withLock { $0.isControlling } }

    /// Keeps ModelCaches and nodes known, in every replica, until cancelled. Start it before ``run()`` and end it after; ``run()``
    /// follows by itself when nobody does.
    ///
    /// - Throws: `CancellationError`, nothing else.
    public func follow() async throws {
        let isFirst = role.withLock { role in
            defer { role.isFollowing = true }
            return !role.isFollowing
        }
        guard isFirst else {
            // Somebody else's task does it.
            while true { try await Task.sleep(for: .seconds(3600)) }
        }
        defer { role.withLock { $0.isFollowing = false } }
        try await watches.follow()
    }

    /// Begins no more reconciles and lets ``run()`` return once those under way have ended. Cancelling cuts them short.
    public func stop() {
        queue.shutDown()
        stopped.continuation.finish()
    }

    /// Works until ``stop()`` or cancelled. Call it once.
    ///
    /// - Throws: `CancellationError`, nothing else.
    public func run() async throws {
        let queue = queue
        let reconciler = reconciler
        role.withLock { $0.isControlling = true }
        defer { role.withLock { $0.isControlling = false } }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.follow() }
                group.addTask { try await self.watches.run() }
                group.addTask { try await self.missedPods.run() }
                group.addTask { try await self.followAuth() }
                group.addTask { try await self.callerKeys.run { queue.add(self.world.set($0)) } }
                group.addTask {
                    try await self.watches.waitUntilSynced()
                    await self.callerKeys.waitForFirstLook()
                    // Those that were followed before.
                    let keys = self.world.cacheKeys
                    self.logger.info("synced", metadata: ["modelcaches": "\(keys.count)"])
                    queue.add(keys)
                    await withDiscardingTaskGroup { group in
                        group.addTask {
                            for await _ in self.authLoaded.stream {}
                            await self.poller.run()
                        }
                        group.addTask { await self.sweep.run() }
                        group.addTask { await self.resolutions.run() }
                        await queue.run(workers: self.options.workers) { try await reconciler.reconcile($0) }
                        group.cancelAll()
                    }
                }
                group.addTask {
                    for await _ in self.stopped.stream {}
                    // From then on the end of the queue ends it all.
                    while self.watches.haveSynced { try await Task.sleep(for: .seconds(3600)) }
                }
                defer { group.cancelAll() }
                try await group.next()
                try Task.checkCancellation()
            }
        } catch {
            await agents.shutdown()
            throw error
        }
        await agents.shutdown()
    }

    private func connect() {
        let world = world
        let poller = poller
        let queue = queue
        let port = options.agentPort
        let logger = logger
        // Of a replica that does not lead nobody takes keys out of the queue; all are added when it does.
        let wake: @Sendable ([ObjectKey]) -> Void = { [weak self] keys in
            if self?.isControlling ?? false { queue.add(keys) }
        }
        let wakeSoon: @Sendable ([ObjectKey]) -> Void = { [weak self] keys in
            guard self?.isControlling ?? false else { return }
            for key in keys { queue.add(key, after: Self.gathering) }
        }
        watches.connect(
            to: world,
            pods: { [weak self] event in
                guard let self else { return }
                let changes = self.directory.withLock { directory -> [AgentDirectory.Change] in
                    switch event {
                    case .added(_, let pod): return [directory.set(pod)].compactMap { $0 }
                    case .modified(_, let old, let new):
                        let gone = old.uid != new.uid || old.node != new.node ? directory.remove(old) : nil
                        return [gone, directory.set(new)].compactMap { $0 }
                    case .deleted(_, let pod): return [directory.remove(pod)].compactMap { $0 }
                    }
                }
                for change in changes {
                    switch change {
                    case .found(let node, let address):
                        wakeSoon(world.addAgent(node, now: .now))
                        poller.set(AgentAddress(node: node, host: address, port: port))
                        poller.want(node)
                    case .lost(let node):
                        logger.info("a node has no agent any more", metadata: ["node": "\(node)"])
                        poller.remove(node)
                        wakeSoon(world.removeAgent(node))
                    }
                }
            },
            // What became of a Job stands in the agent's next report.
            job: { job in if !job.isUnfinished { poller.want(job.node) } },
            wake: wake, wakeSoon: wakeSoon)
    }

    /// Reads the Secret shared with the agents, makes it when there is none, and reads it again when they refuse it.
    private func followAuth() async throws {
        var signals = authSignals.makeAsyncIterator()
        while true {
            let loaded = ContinuousClock.now
            do {
                let secret = try await auth.load()
                if secret == nil {
                    logger.error(
                        "the Secret shared with the agents has no usable line; delete it and it is made anew",
                        metadata: ["secret": "\(options.systemNamespace)/\(AgentAuth.secretName)"])
                }
                agents.use(secret)
                authLoaded.continuation.finish()
            } catch {
                try Task.checkCancellation()
                logger.warning("the Secret shared with the agents could not be read or made", metadata: ["reason": "\(error)"])
                try await Task.sleep(for: .seconds(3))
                continue
            }
            guard await signals.next() != nil else { throw CancellationError() }
            // At once after a refusal, unless it was read a moment ago: rotation must not look like silence.
            try await Task.sleep(until: loaded + Self.authPause, clock: .continuous)
        }
    }
}
