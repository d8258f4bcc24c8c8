internal import AgentAPI
internal import CRD
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
/// the API server nothing. No object makes it crash.
///
/// **Assumptions.** One runs at a time (leader election). The recorder's `run()` is run by whoever made it.
///
/// **Rights.** ModelCaches: get, list, watch, patch; their status: patch; Jobs, PersistentVolumeClaims, PersistentVolumes: get,
/// list, watch, create, delete; Nodes: list, watch; Secrets: get, and create in the system namespace; Pods of the system
/// namespace: list, watch.
public final class ModelCacheController: Sendable {
    private let client: KubernetesClient
    private let options: ControllerOptions
    private let logger: Logger
    private let world: World
    private let watches: Watches
    private let queue: WorkQueue<ObjectKey>
    private let agents: AgentClient
    private let poller: AgentPoller
    private let sweep: OrphanSweep
    private let resolutions: ResolutionRunner
    private let reconciler: Reconciler
    private let directory = Mutex(AgentDirectory())
    private let auth: AgentAuth
    private let authSignals: AsyncStream<Void>
    /// Ends when the shared Secret has been read once: unsigned questions are refused, and look like agents out of reach.
    private let authLoaded = AsyncStream.makeStream(of: Void.self)

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
                for key in wakes.progress { queue.add(key, after: Self.progressGathering) }
            },
            inspect: { report, address in sweep.inspect(report, address) },
            refused: { authSignal.yield() })
        let wake: @Sendable ([ObjectKey]) -> Void = { queue.add($0) }
        let resolver = try SourceResolver { key in try await client.find(Secret.self, key) }
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
        auth = AgentAuth(client: client, namespace: options.systemNamespace)
        self.world = world
        self.queue = queue
        self.agents = agents
        self.poller = poller
        self.sweep = sweep
        self.resolutions = resolutions
        self.authSignals = authSignals
        ControllerMetrics(metrics).collect(from: world)
        connect(wake: wake)
    }

    /// Whether all watches have brought their first list: what readiness asks.
    public var hasSynced: Bool { watches.haveSynced }

    /// Works until cancelled. Call it once.
    ///
    /// - Throws: `CancellationError`, nothing else.
    public func run() async throws {
        let queue = queue
        let reconciler = reconciler
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.watches.run() }
                group.addTask { try await self.followAuth() }
                group.addTask {
                    try await self.watches.waitUntilSynced()
                    self.logger.info("synced", metadata: ["modelcaches": "\(self.world.cacheKeys.count)"])
                    await withDiscardingTaskGroup { group in
                        group.addTask {
                            for await _ in self.authLoaded.stream {}
                            await self.poller.run()
                        }
                        group.addTask { await self.sweep.run() }
                        group.addTask { await self.resolutions.run() }
                        group.addTask {
                            await withTaskCancellationHandler {
                                await queue.run(workers: self.options.workers) { try await reconciler.reconcile($0) }
                            } onCancel: {
                                queue.shutDown()
                            }
                        }
                    }
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

    private func connect(wake: @escaping @Sendable ([ObjectKey]) -> Void) {
        let world = world
        let poller = poller
        let queue = queue
        let port = options.agentPort
        let logger = logger
        let wakeSoon: @Sendable ([ObjectKey]) -> Void = { keys in
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
