// Controller: makes Jobs, volumes and orders to agents until each ModelCache is as its spec says.
//
//     API server --> Watches --+                                            +-- actions --> Applier -----> API server
//     agents --> AgentPoller --+-> World --> ReconcileQueue --> Reconciler -+
//                              |   (observed, memory)           (Plan.make) +-- picture --> StatusWriter -> API server
//                              +<-- results -- Applier, OrderRunner (agents), ResolutionRunner (sources)
//
// docs/development.md follows a change through it. `ModelCacheController` connects the parts.
// - `Plan` is a pure function of `Observed` and a time. `Memory` is what an operator remembers between two plans.
// - `Applier` gives orders to `OrderRunner` and looks at sources to `ResolutionRunner`, beside the reconciles.
// - `OrphanSweep` removes what is left of ModelCaches that are gone, `ListingSweep` the Jobs of listings that nobody
//   follows.
// - `LabelledPods` follows pods that name a ModelCache, `CallerKeys` the cluster's token keys.
// Invariants:
// - Names follow from ModelCache and node, and nothing that must survive is in `Memory` alone: an operator may be
//   killed.
// - A ModelCache has one reconcile at a time, which waits for no agent and no store.
// - The finalizer is there before anything is made, and goes last.
// - A plan without a change writes nothing. The operator reads no Secret with the keys of a source.
// Errors that back off (the queue: 5 ms, doubled up to 30 s): each KubernetesError of a reconcile, conflicts too.
// Errors with a time, which the next plan keeps (most waits grow):
// - the API server refuses to make an object (`WriteRefused`); an agent refuses a definition (`AgentRefusal`) or an
//   eviction, or does not answer an order;
// - a source cannot be listed (`SourceFailure`); a Job has failed, or its copy was lost (`Attempt`).
// An edit, a new agent or more capacity ends such a wait early where it may help. A conflict of the status waits 1 s.
// Errors that wait for a change: an invalid spec, an immutable field, no agent, no matching node, unknown token keys.
// An agent that does not answer is asked for its report every 5 s (`PollSchedule`).
// Left to others: leader election (OperatorCommand), pods (Admission), bytes (the agents).

internal import AgentAPI
public import CRD
internal import struct Foundation.Data
internal import class Foundation.ProcessInfo
public import Kubernetes
public import Logging
internal import RangeTransfer
internal import Synchronization

/// Makes every ModelCache of the cluster come true.
///
/// ```swift
/// let controller = try ModelCacheController(
///     client: client, options: options, recorder: recorder, metrics: registry, logger: logger)
/// try await controller.run()
/// ```
///
/// **Guarantees.** It may be ended at any point, also killed: names and decisions follow from what the API server and
/// the agents say, so the next run goes on and makes nothing twice. It writes nothing when nothing changed, and when
/// nothing happens it asks the API server nothing but, every 300 s, the token keys, and the stores nothing but, each
/// ``ControllerOptions/sourceCheckInterval``, whether a source has changed. No object makes it crash.
///
/// **Assumptions.** One runs at a time (leader election). The recorder's creator runs its `run()`. Replicas
/// that do not run may ``follow()``, and then answer ``injection(namespace:name:)`` too.
///
/// **Rights.** ModelCaches: get, list, watch, patch; their status: patch; Jobs: list, watch, create, delete;
/// PersistentVolumeClaims, PersistentVolumes: get, list, watch, create, delete; Nodes, ResourceQuotas, Pods: list,
/// watch; the Secret of ``AgentAuth``: create, get; Events: list, for Jobs that do not start; the documents of
/// ``IssuerDocuments``: get.
public final class ModelCacheController: Sendable {
    private let client: KubernetesClient
    private let options: ControllerOptions
    private let logger: Logger
    let world: World
    private let watches: Watches
    private let labelledPods: LabelledPods
    private let starts: StartRecorder
    private let listingPods: ListingPods
    private let listingSweep: ListingSweep
    private let queue: ReconcileQueue
    private let agents: AgentClient
    private let poller: AgentPoller
    private let readings: ReadingsCollector
    private let sweep: OrphanSweep
    private let orders: OrderRunner
    private let resolutions: ResolutionRunner
    private let reconciler: Reconciler
    private let directory = Mutex(AgentDirectory())
    private let role = Mutex(Role())
    private let auth: AgentAuth
    private let callerKeys: CallerKeys
    private let authSignals: AsyncStream<Void>
    /// Ends when the shared Secret has been read once: unsigned questions are refused, and look like agents out of
    /// reach.
    private let authLoaded = AsyncStream.makeStream(of: Void.self)
    /// Ends with ``stop()``.
    private let stopped = AsyncStream.makeStream(of: Void.self)

    /// The present role of this process.
    private struct Role {
        var isFollowing = false
        var isControlling = false
    }

    /// At most this often is the shared Secret read again because agents refuse the signature.
    private static let authPause: Duration = .seconds(30)

    /// - Throws: when the engine for listing sources cannot be started; the message names the setting.
    public init(
        client: KubernetesClient, options: ControllerOptions, recorder: EventRecorder, metrics: MetricsRegistry,
        logger: Logger
    ) throws {
        self.client = client
        self.options = options
        self.logger = logger
        let world = Self.world(options)
        let queue = ReconcileQueue(metrics: metrics, logger: logger)
        let agents = AgentClient()
        let (authSignals, authSignal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let poller = AgentPoller(
            client: agents, world: world, logger: logger,
            wake: { wakes in
                queue.add(wakes.urgent, .report)
                queue.add(wakes.progress, .progress, .routine)
            },
            refused: { authSignal.yield() })
        let orders = OrderRunner(
            agents: agents, poller: poller, world: world, recorder: recorder, logger: logger,
            wake: { queue.add($0, .order) })
        let sweep = OrphanSweep(
            client: client, world: world, namespace: options.namespace, logger: logger, order: { orders.start($0) })
        let listingPods = ListingPods(client: client, namespace: options.namespace, logger: logger)
        let listingSweep = ListingSweep(client: client, logger: logger)
        let lister = ListingJobRunner(client: client, ends: listingPods.ends, sweep: listingSweep)
        let resolutions = try Self.resolutions(world, lister, options, queue, logger)
        let applier = Applier(
            client: client, world: world, recorder: recorder, logger: logger,
            wake: { queue.add($0, .write, .now) },
            order: { orders.start($0) },
            resolve: { cache in
                guard case .valid(let spec) = world.reading(cache.objectKey) else { return }
                resolutions.start(cache, spec: spec, regions: world.regions(for: spec))
            })
        reconciler = Reconciler(
            world: world, applier: applier, writer: StatusWriter(client: client, world: world, recorder: recorder),
            logger: logger)
        watches = Watches(client: client, options: options, logger: logger)
        let starts = StartRecorder(client: client, metrics: metrics, logger: logger) { pod, namespace, node, caches in
            guard let address = poller.address(node) else { return nil }
            return await ReadingsCollector.reading(
                ofPod: pod, caches: world.known(caches, in: namespace), on: address, agents)
        }
        self.starts = starts
        labelledPods = LabelledPods(
            client: client, namespace: options.namespace, metrics: metrics, logger: logger,
            settled: { starts.settled($0) }
        ) {
            queue.add(world.set($0, uid: $1, cache: $2), .pod)
        }
        auth = AgentAuth(client: client, namespace: options.systemNamespace)
        callerKeys = Self.callerKeys(client, options, metrics, logger)
        _ = world.set(callerKeys.knowledge)
        self.world = world
        self.queue = queue
        self.agents = agents
        self.poller = poller
        readings = ReadingsCollector(client: agents)
        self.sweep = sweep
        self.orders = orders
        self.listingPods = listingPods
        self.listingSweep = listingSweep
        self.resolutions = resolutions
        self.authSignals = authSignals
        collectCensus(metrics)
        connect()
    }

    private static func resolutions(
        _ world: World, _ lister: ListingJobRunner, _ options: ControllerOptions, _ queue: ReconcileQueue,
        _ logger: Logger
    ) throws -> ResolutionRunner {
        let resolver = try SourceResolver(
            allowsLoopback: options.validation.allowsLoopbackEndpoints,
            proxies: try ProxySettings(environment: ProcessInfo.processInfo.environment),
            lister: { try await lister.message(of: $0, waiting: $1) })
        return ResolutionRunner(
            world: world, resolver: resolver, logger: logger, wake: { queue.add($0, .listing, .now) })
    }

    private static func world(_ options: ControllerOptions) -> World {
        World(
            image: options.agentImage, podTemplate: options.podTemplate,
            access: ServiceAccess(
                stsEndpoint: options.stsEndpoint, environment: ProcessInfo.processInfo.environment),
            diskPath: options.diskPath, validation: options.validation, startDeadline: options.startDeadline,
            sourceCheckInterval: options.sourceCheckInterval)
    }

    private static func callerKeys(
        _ client: KubernetesClient, _ options: ControllerOptions, _ metrics: MetricsRegistry, _ logger: Logger
    ) -> CallerKeys {
        CallerKeys(
            issuer: options.serviceAccountIssuer, allowsUnverified: options.allowsUnverifiedCallers, metrics: metrics,
            logger: logger
        ) { Data(try await client.raw($0, accept: "application/json, application/jwk-set+json")) }
    }

    private func collectCensus(_ metrics: MetricsRegistry) {
        ControllerMetrics(metrics).collect { [weak self] in
            // Else a sum over all replicas would count each ModelCache several times.
            guard let self, self.isControlling else { return World.Census() }
            return self.world.census
        }
    }

    /// Whether all watches have brought their first list: what readiness asks.
    public var hasSynced: Bool { watches.haveSynced }

    /// The kinds that no list has come of yet.
    public var missingLists: [String] { watches.missing }

    /// Whether ModelCaches and nodes are known: what the readiness of a replica that does not lead may ask.
    public var isFollowing: Bool { watches.areFollowed }

    /// Capacity and copies of all nodes; nil: this replica does not lead, so it asks no agents.
    public var nodesReport: NodesReport? { isControlling ? world.nodesReport(poller.addresses) : nil }

    /// The starts of pods that read a ModelCache, from the agents that have it; nil: this replica does not lead.
    public func readingsReport(ofCache uid: String) async -> ReadingsReport? {
        guard isControlling else { return nil }
        let nodes = world.agents(withCache: uid).map { agent in
            let address = agent.isReachable ? poller.address(agent.node) : nil
            return ReadingsCollector.Node(
                name: agent.node,
                address: address.map { .success($0) } ?? .failure(.init(why: agent.reach.why ?? "it was not asked yet")))
        }
        return await readings.report(ofCache: uid, from: nodes)
    }

    /// ``run()`` is under way: agents are asked.
    var isControlling: Bool { role.withLock { $0.isControlling } }

    /// Keeps ModelCaches and nodes known, in every replica, until cancelled. Start it before ``run()`` and end it
    /// after; ``run()`` follows by itself when nobody does.
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
                group.addTask { try await self.labelledPods.run() }
                group.addTask { await self.starts.run() }
                group.addTask { try await self.listingPods.run() }
                group.addTask { try await self.followAuth() }
                group.addTask { try await self.callerKeys.run { queue.add(self.world.set($0), .callers, .now) } }
                group.addTask {
                    try await self.waitForLists()
                    await self.callerKeys.waitForFirstLook()
                    // Those that were followed before.
                    let keys = self.world.cacheKeys
                    self.logger.info("synced", metadata: ["modelcaches": "\(keys.count)"])
                    queue.add(keys, .start, .now)
                    await withDiscardingTaskGroup { group in
                        group.addTask {
                            for await _ in self.authLoaded.stream {}
                            await self.poller.run { self.sweep.inspect($0, $1) }
                        }
                        group.addTask { await self.orders.run() }
                        group.addTask { await self.sweep.run() }
                        group.addTask { await self.listingSweep.run() }
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

    private func waitForLists() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.watches.waitUntilSynced() }
            group.addTask {
                try await self.watches.tellMissing(self.logger)
                try await self.watches.waitUntilSynced()
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func connect() {
        let world = world
        let poller = poller
        let queue = queue
        let port = options.agentPort
        let logger = logger
        let resolutions = resolutions
        // Of a replica that does not lead nobody takes keys out of the queue; all are added when it does.
        let wake: @Sendable ([ObjectKey], WakeReason, ReconcileQueue.Urgency) -> Void = { [weak self] in
            if self?.isControlling ?? false { queue.add($0, $1, $2) }
        }
        watches.connect(
            to: world,
            going: { resolutions.endUnwanted() },
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
                    case .found(let node, let address, let drains):
                        wake(world.addAgent(node, drains: drains, now: .now), .agent, .soon)
                        poller.set(AgentAddress(node: node, host: address, port: port))
                        poller.want(node)
                    case .lost(let node):
                        logger.info("a node has no agent any more", metadata: ["node": "\(node)"])
                        poller.remove(node)
                        self.agents.forget(node)
                        self.sweep.forget(node)
                        wake(world.removeAgent(node, now: .now), .agent, .soon)
                    }
                }
            },
            // The agent's next report tells the outcome of a Job.
            job: { job in if !job.isUnfinished { poller.want(job.node) } },
            listing: { [listingSweep] in listingSweep.changed($0, $1) },
            wake: wake)
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
                logger.warning(
                    "the Secret shared with the agents could not be read or made", metadata: ["reason": "\(error)"])
                try await Task.sleep(for: .seconds(3))
                continue
            }
            guard await signals.next() != nil else { throw CancellationError() }
            // At once after a refusal, unless it was read a moment ago: rotation must not look like silence.
            try await Task.sleep(until: loaded + Self.authPause, clock: .continuous)
        }
    }
}
