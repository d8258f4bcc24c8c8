// Models: the models and caches of one node.
//
// A caller names a source or comes by a cache's socket; it gets an open model that is filled, or a refusal with the
// reason.
// - Source/: a caller's settings, its proof (a listing with its own credentials), and what is remembered of it.
// - Registry/: `ModelMachine` decides about one model, `CapacityBook` about bytes; `ModelRegistry` carries both out.
// - Open/: `OpenModel` holds the files of one model, the fill that completes them, and those who read.
// - Caches/: the volumes that the operator prepares, each with its definition and socket.
// Invariants: nobody gets a model that its store would not show them; a model in use is not evicted; no opening waits
// for another model's network or files.
// Left to others: sockets and packets (Sessions), HTTP and tokens (NodeAPI), bytes (Transfer), files (ChunkStore).

package import AgentAPI
package import ChunkStore
internal import Foundation
package import Logging
internal import ObjectStore
internal import RangeTransfer
package import Swarm
internal import Transfer

/// The models of one agent: maps names to ``ModelMachine``s and carries out what they decide.
///
/// It holds two kinds: models that a client named (standalone, `models/` of the root), and the caches of ModelCaches,
/// which the operator prepares and each of which has a volume and a socket of its own.
///
/// An opening begins with the caller's proof: the source is listed with the caller's own credentials, so nobody gets a
/// cached model that the store would not show them. Only then is the model's machine told. No opening waits for another
/// model's network or files, and nothing here blocks on a file system: ``DiskQueue`` does.
package actor ModelRegistry {
    let options: RegistryOptions
    let root: CacheDirectory
    let pool: StagingPool
    let logger: Logger
    let audit: AuditLog
    let volumes: [CacheDefinition.Medium: CacheDirectory]
    let sockets: (any CacheSockets)?
    package nonisolated let rules: DefinitionRules
    /// The starts of pods that read ModelCaches' caches.
    package nonisolated let readers = ReaderBook()
    let preloadLibrary = PreloadLibrary()
    let sources: SourceAccess
    let disk = DiskQueue()
    /// Of the ModelCaches' sources.
    let roles = RoleShelf()

    var models: [SourceIdentity: OpenModel] = [:]
    /// By uid.
    var caches: [String: PreparedCache] = [:]
    /// Of every model that is not closed.
    var machines: [ModelName: ModelMachine] = [:]
    var books: [CacheDefinition.Medium: CapacityBook] = [.memory: CapacityBook(), .disk: CapacityBook()]

    /// Callers that wait for a model.
    var openings: [ModelMachine.Caller: WaitingOpening] = [:]
    /// HEADs under way, by the lead of the opening.
    var descriptions: [ModelMachine.Caller: Task<Void, Never>] = [:]
    /// Files that are being made or removed.
    var steps: [UInt64: Task<Void, Never>] = [:]
    /// Ids of models that must go before the opening of this lead has its capacity.
    var awaitedEvictions: [ModelMachine.Caller: Set<String>] = [:]
    /// Requests that wait for an eviction.
    var evictions: [UInt64: CheckedContinuation<ModelMachine.Outcome, Never>] = [:]
    var lastNumber: UInt64 = 0
    /// Listings under way, by ``SourceRequest/listingKey``.
    var listings: [[UInt8]: Task<Result<Listing, AgentFailure>, Never>] = [:]
    var isSavingUse = false
    /// Looks at the file systems.
    let spaces: [CacheDefinition.Medium: SharedLook<Result<UInt64, ChunkStoreError>>] = [
        .memory: SharedLook(), .disk: SharedLook(),
    ]
    let remains = SharedLook<[String]>()
    /// Failed files that get another chance.
    var revivals: [ModelName: Task<Void, Never>] = [:]
    /// Orders that wait for another of the same uid.
    var lines: [String: [CheckedContinuation<Void, Never>]] = [:]

    var authorizations: [ModelName: Authorizations] = [:]
    /// Names whose authorizations are being written; true: they have changed since.
    var saving: [ModelName: Bool] = [:]
    var recentProofs = RecentProofs()

    private(set) var isClosed = false
    /// Nil: models come from the store alone.
    var peers: PeerLink?

    struct WaitingOpening {
        let request: SourceRequest
        let listing: Listing
        let continuation: CheckedContinuation<Result<ModelHold, AgentFailure>, Never>
        /// Of the lead: what HEAD said.
        var described: Manifest?
    }

    /// - Parameters:
    ///   - volumes: where caches of each medium lie; one that is absent is not offered.
    ///   - sockets: listens at the caches' own sockets.
    package init(
        options: RegistryOptions, root: CacheDirectory, volumes: [CacheDefinition.Medium: CacheDirectory] = [:],
        sockets: (any CacheSockets)? = nil, logger: Logger, audit: AuditLog
    ) {
        self.options = options
        self.root = root
        self.volumes = volumes
        self.sockets = sockets
        rules = DefinitionRules(allowsLoopbackEndpoints: options.allowsLoopbackEndpoints)
        sources = SourceAccess(
            engines: EnginePool(options: options), doubted: DoubtedListings(),
            credentialHosts: options.credentialHosts, logger: logger)
        self.logger = logger
        self.audit = audit
        pool = StagingPool(limitBytes: Int(options.inFlightBytes))
        let files = AuthorizationFiles(root: options.root)
        for model in root.models {
            let identity = model.manifest.identity
            models[identity] = OpenModel(cached: model, source: Self.describe(model.manifest))
            machines[.source(identity)] = ModelMachine(open: ModelSet(model.manifest.files))
            authorizations[.source(identity)] = files.read(model.id)
        }
    }

    /// From now on models are loaded together with other nodes, and what is complete here is served to them. To be
    /// called once, after ``recoverCaches()``.
    package func join(_ swarm: Swarm) throws {
        // A dead peer is given up within a second; the planner asks another.
        let engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: max(1, options.receiveThreads / 2), authorityFile: options.peerAuthority,
                verifiesHostName: false,
                wakeInterval: .milliseconds(200), connectTimeout: .seconds(1), stallTimeout: .seconds(10)))
        let link = PeerLink(swarm: swarm, engine: engine, pool: pool)
        peers = link
        for model in models.values { model.share(peers: link, limits: FillLimits(maximumTransfers: 1), logger: logger) }
        for cache in caches.values {
            cache.model?.share(
                peers: link, limits: FillLimits(maximumTransfers: 1, bytesPerSecond: cache.definition.bandwidthLimit),
                logger: logger)
        }
    }

    // MARK: State

    package var isEmpty: Bool { models.isEmpty && caches.isEmpty && openings.isEmpty }

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

    /// The starts of the pods that read each ModelCache, by its uid. Those without any are left out.
    package func readerStarts() -> [String: [ReaderStart]] {
        Dictionary(uniqueKeysWithValues: caches.keys.map { ($0, readers.starts(ofCache: $0)) })
            .filter { !$0.value.isEmpty }
    }

    package func capacity() async -> (budgetBytes: Int64, heldBytes: Int64, inFlightBytes: Int64) {
        let budget = (try? await policy(.memory))?.budgetBytes ?? 0
        return (Int64(clamping: budget), Self.held(usages(.memory)), Int64(pool.usedBytes))
    }

    /// Stops all fills, keeps all bytes, gives the root up.
    package func close() async {
        isClosed = true
        for listing in listings.values { listing.cancel() }
        for description in descriptions.values { description.cancel() }
        for waiting in openings.values { waiting.continuation.resume(returning: .failure(Self.closing)) }
        openings = [:]
        // Files that are being made or removed are let be done.
        for step in Array(steps.values) { await step.value }
        let everyModel = models.values + caches.values.compactMap(\.model)
        await withTaskGroup(of: Void.self) { group in
            for model in everyModel { group.addTask { await model.stopFill() } }
        }
        await peers?.swarm.shutDown()
        peers?.engine.shutDown()
        sources.engines.shutDown()
        let directories = volumes.values + [root]
        // A disk is synced.
        await disk.run { for directory in directories { directory.close() } }
    }

    // MARK: Parts

    func nextNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    func model(_ name: ModelName) -> OpenModel? {
        switch name {
        case .source(let identity): models[identity]
        case .cache(let uid): caches[uid]?.model
        }
    }

    func medium(_ name: ModelName) -> CacheDefinition.Medium {
        switch name {
        case .source: .memory
        case .cache(let uid): caches[uid]?.definition.medium ?? .memory
        }
    }

    /// For `EvictionPolicy`, status and people.
    func id(_ name: ModelName) -> String {
        switch name {
        case .source(let identity): identity.directoryName
        case .cache(let uid): uid
        }
    }

    /// Seconds since 1970, the clock of `ModelUsage.lastUsed`, which outlives the agent.
    static var wallClockSeconds: Int64 { Int64(Date.now.timeIntervalSince1970) }

    private static func describe(_ manifest: Manifest) -> String {
        var key = manifest.identity.prefix
        // One object, or the parts of one model: the first has the key that was named.
        if let first = manifest.files.first?.key, key == "\(first)/" || key.hasSuffix("/\(first)/") { key.removeLast() }
        return "\(manifest.scheme ?? "oss")://\(manifest.identity.bucket)/\(key)"
    }

    static let closing = AgentFailure(.unreachable, "the agent is shutting down; try again in a moment")
}
