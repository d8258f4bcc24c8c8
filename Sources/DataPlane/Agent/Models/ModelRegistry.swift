package import AgentAPI
package import ChunkStore
internal import Foundation
package import Logging
internal import CRD
internal import ObjectStore
package import Swarm
internal import Transfer

/// The models of one agent: who may open which, what is kept, what goes.
///
/// Opening has two halves. The first is the caller's proof: the source is listed with the caller's own credentials, so
/// nobody gets a cached model that the store would not show them. The second changes the cache and runs one call at a time
/// (``exclusively(_:)``), since it awaits in between.
///
/// It holds two kinds: models that a client named (standalone, `models/` of the root), and the caches of ModelCaches, which
/// the operator prepares and each of which has a volume and a socket of its own.
package actor ModelRegistry {
    let options: AgentOptions
    let root: CacheRoot
    let pool: StagingPool
    let logger: Logger
    let audit: AuditLog
    var models: [SourceIdentity: OpenModel] = [:]
    /// By uid.
    var caches: [String: PreparedCache] = [:]
    let volumes: [CacheDefinition.Medium: CacheVolumes]
    let sockets: SessionServer?
    let rules: DefinitionRules
    let preloadLibrary = PreloadLibrary()
    /// Callers that listed a source successfully since this agent started. They may have the complete cached copy while the store is away.
    var proven: [SourceIdentity: [[UInt8]: ContinuousClock.Instant]] = [:]
    private var engines: [EngineKey: TransferEngine] = [:]
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private(set) var isClosed = false
    /// Nil: models come from the store alone.
    var peers: PeerLink?

    private struct EngineKey: Hashable {
        let sourceAddresses: [String]
        let authorityFile: String?
        let isGuarded: Bool
    }

    /// - Parameters:
    ///   - volumes: where caches of each medium lie; one that is absent is not offered.
    ///   - sockets: listens at the caches' own sockets.
    package init(
        options: AgentOptions, root: CacheRoot, volumes: [CacheDefinition.Medium: CacheVolumes] = [:],
        sockets: SessionServer? = nil, logger: Logger, audit: AuditLog
    ) {
        self.options = options
        self.root = root
        self.volumes = volumes
        self.sockets = sockets
        rules = DefinitionRules(allowsLoopbackEndpoints: options.allowsLoopbackEndpoints)
        self.logger = logger
        self.audit = audit
        pool = StagingPool(limitBytes: Int(options.inFlightBytes))
        for model in root.models {
            let identity = model.manifest.identity
            models[identity] = OpenModel(cached: model, source: Self.describe(model.manifest))
        }
    }

    // MARK: Opening

    /// Gives the caller the model that its settings name, filling it if need be. The caller holds it until ``release(_:)``.
    package func open(_ variables: [String: String]) async throws(AgentFailure) -> OpenModel {
        switch try await prove(variables, for: .standalone) {
        case .held(let model): return model
        case .listed(let listing):
            return try await exclusively { () async throws(AgentFailure) in try await self.admit(listing) }
        }
    }

    private func admit(_ listing: Listing) async throws(AgentFailure) -> OpenModel {
        guard !isClosed else { throw Self.closing }
        let location = listing.location
        let listed = listing.manifest
        if let model = models[listing.identity] {
            if model.cached.manifest.generation == listed.generation {
                await takeUp(model, listing)
                return model
            }
            logger.notice("the source has changed, replacing the cached copy", metadata: ["model": "\(model.cached.id)"])
            model.failFilling(reason: "the objects under \(location) were replaced at the store; start again to load the new version")
            try await remove(model, why: "replaced at the store")
        }
        try await makeRoom(for: listed.totalBytes, in: .memory)
        // Digests come with HEAD; the listing has none. Asked for once, when the model is new.
        let complete = try await withDigests(listing)
        let cached: CachedModel
        do {
            cached = try root.open(complete)
        } catch {
            throw Self.failure(error)
        }
        let model = OpenModel(cached: cached, source: location.description)
        models[listing.identity] = model
        cached.retain()
        audit.record(event: "open", model: cached.id, source: location.description, bytes: complete.totalBytes)
        logger.info("model opened", metadata: ["model": "\(cached.id)", "files": "\(complete.files.count)", "bytes": "\(complete.totalBytes)"])
        startFill(model, listing)
        return model
    }

    /// Retains a model of the listed version and sees that it is filled.
    func takeUp(_ model: OpenModel, _ listing: Listing, bytesPerSecond: Int64? = nil) async {
        if model.cached.files.contains(where: { $0.state == .failed }) {
            // A failure was the last caller's: expired credentials, a store that was away. This one may do better.
            // The fill that failed may not have quite ended; chunks that it has stay.
            await model.stopFill()
            for file in model.cached.files { file.resume() }
        }
        model.cached.retain()
        startFill(model, listing, bytesPerSecond: bytesPerSecond)
    }

    func startFill(_ model: OpenModel, _ listing: Listing, bytesPerSecond: Int64? = nil) {
        let most = min(options.connections ?? .max, Int(options.inFlightBytes) / (2 << 20))
        let id = model.cached.id
        let source = model.source
        let cached = model.cached
        let limits = FillLimits(maximumTransfers: most, initialTransfers: options.connections ?? 8, bytesPerSecond: bytesPerSecond)
        if let peers { model.share(peers: peers, limits: limits, logger: logger) }
        model.fill(
            client: listing.client, pool: pool, peers: peers, limits: limits,
            prefetches: true, logger: logger
        ) { [audit] in
            let isComplete = cached.files.allSatisfy { $0.state == .complete }
            let event = isComplete ? "filled" : model.fillFailure != nil ? "failed" : "unfinished"
            audit.record(event: event, model: id, source: source, bytes: cached.statistics.receivedBytes)
        }
    }

    /// The holder from ``open(_:)`` is done with the model.
    package nonisolated func release(_ model: OpenModel) { model.cached.release() }

    /// From now on models are loaded together with other nodes, and what is whole here is served to them. To be called once,
    /// after ``recoverCaches()``.
    package func join(_ swarm: Swarm) throws {
        // A dead peer is given up within a second; the planner asks another.
        let engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: max(1, options.receiveThreads / 2), authorityFile: options.peerTLS?.authority, verifiesHostName: false,
                wakeInterval: .milliseconds(200), connectTimeout: .seconds(1), stallTimeout: .seconds(10)))
        let link = PeerLink(swarm: swarm, engine: engine)
        peers = link
        for model in models.values { model.share(peers: link, limits: FillLimits(maximumTransfers: 1), logger: logger) }
        for cache in caches.values {
            cache.model?.share(
                peers: link, limits: FillLimits(maximumTransfers: 1, bytesPerSecond: cache.definition.bandwidthLimit), logger: logger)
        }
    }

    // MARK: State

    package var isEmpty: Bool { models.isEmpty && caches.isEmpty }

    package var modelStatuses: [ModelStatus] {
        let now = Self.wallClockSeconds
        return models.values.map { $0.status(now: now) }.sorted { $0.id < $1.id }
            + caches.values.map { $0.status(now: now) }.sorted { $0.id < $1.id }
    }

    /// Of models that this node shares with others.
    package func swarmReports() async -> [SwarmReport] {
        var reports: [SwarmReport] = []
        for model in models.values { if let report = await model.swarmReport() { reports.append(report) } }
        for cache in caches.values { if let report = await cache.model?.swarmReport() { reports.append(report) } }
        return reports.sorted { $0.model < $1.model }
    }

    package var capacity: (budgetBytes: Int64, inFlightBytes: Int64) {
        let budget = (try? policy(.memory))?.budgetBytes ?? 0
        return (Int64(clamping: budget), Int64(pool.usedBytes))
    }

    /// Stops all fills, keeps all bytes, gives the root up.
    package func close() async {
        isClosed = true
        for model in models.values { await model.stopFill() }
        for cache in caches.values { await cache.model?.stopFill() }
        await peers?.swarm.shutDown()
        peers?.engine.shutDown()
        for engine in engines.values { engine.shutDown() }
        for volume in volumes.values { volume.close() }
        root.close()
    }

    // MARK: Parts

    /// - Parameter target: a ModelCache's endpoint is not the node's owner's, so its addresses are looked at.
    func engine(for settings: SourceSettings, _ target: OpenTarget) throws(SettingError) -> TransferEngine {
        let isGuarded = target != .standalone
        let key = EngineKey(sourceAddresses: settings.sourceAddresses, authorityFile: settings.authorityFile, isGuarded: isGuarded)
        if let engine = engines[key] { return engine }
        let engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: options.receiveThreads, sourceAddresses: settings.sourceAddresses,
                authorityFile: settings.authorityFile, wakeInterval: .milliseconds(options.peers == nil ? 10 : 100),
                addressGuard: isGuarded ? AddressGuard { [rules] in StoreHost.problem(withAddress: $0, allowsLoopback: rules.allowsLoopbackEndpoints) } : nil))
        engines[key] = engine
        return engine
    }

    func manifest(_ identity: SourceIdentity, _ files: [ManifestFile], _ scheme: StoreScheme) throws(AgentFailure) -> Manifest {
        do {
            return try Manifest(identity: identity, files: files, scheme: scheme.rawValue)
        } catch {
            throw Self.failure(error)
        }
    }

    /// Runs `body` when no other such body runs: an actor alone does not keep calls apart across an await.
    func exclusively<T: Sendable>(_ body: () async throws(AgentFailure) -> T) async throws(AgentFailure) -> T {
        if isBusy {
            await withCheckedContinuation { waiting.append($0) }
        } else {
            isBusy = true
        }
        defer {
            if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
        }
        return try await body()
    }

    static func identity(of settings: SourceSettings) -> SourceIdentity {
        SourceIdentity(
            endpoint: settings.configuration.endpoint.canonical, bucket: settings.configuration.location.bucket,
            prefix: settings.configuration.location.prefix)
    }

    /// Seconds since 1970, the clock of `ModelUsage.lastUsed`, which outlives the agent.
    static var wallClockSeconds: Int64 { Int64(Date.now.timeIntervalSince1970) }

    private static func describe(_ manifest: Manifest) -> String {
        "\(manifest.scheme ?? "oss")://\(manifest.identity.bucket)/\(manifest.identity.prefix)"
    }

    static let closing = AgentFailure(.unreachable, "the agent is shutting down; try again in a moment")

    static func failure(_ error: StoreError) -> AgentFailure { AgentFailure(error) }

    static func failure(_ error: ChunkStoreError) -> AgentFailure {
        let code: AgentFailure.Code =
            switch error {
            case .capacity, .mediumFull: .capacity
            default: .internal
            }
        return AgentFailure(code, "\(error)", reason: AgentErrorCode(.cache(error)))
    }
}
