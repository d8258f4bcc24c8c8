package import ChunkStore
internal import Foundation
package import Logging
internal import ObjectStore
internal import Transfer

/// The models of one agent: who may open which, what is kept, what goes.
///
/// Opening has two halves. The first is the caller's proof: the source is listed with the caller's own credentials, so
/// nobody gets a cached model that the store would not show them. The second changes the cache and runs one call at a time
/// (``exclusively(_:)``), since it awaits in between.
package actor ModelRegistry {
    private let options: AgentOptions
    private let root: CacheRoot
    private let pool: StagingPool
    private let logger: Logger
    private let audit: AuditLog
    private var models: [SourceIdentity: OpenModel] = [:]
    /// Callers that listed a source successfully since this agent started. They may have the complete cached copy while the store is away.
    private var proven: [SourceIdentity: [[UInt8]: ContinuousClock.Instant]] = [:]
    private var engines: [EngineKey: TransferEngine] = [:]
    private var isBusy = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var isClosed = false

    private struct EngineKey: Hashable {
        let sourceAddresses: [String]
        let authorityFile: String?
    }

    /// The list at opening is a person's wait: it gives up sooner than a fill does.
    private static let openingRetry = RetryPolicy(
        maximumAttempts: 6, baseDelay: .milliseconds(200), maximumDelay: .seconds(3), deadline: .seconds(20))
    private static let concurrentHeads = 16
    /// A reader opens two connections, a shell pipeline more: one listing serves those that follow at once.
    private static let proofLifetime: Duration = .seconds(2)

    package init(options: AgentOptions, root: CacheRoot, logger: Logger, audit: AuditLog) {
        self.options = options
        self.root = root
        self.logger = logger
        self.audit = audit
        pool = StagingPool(limitBytes: Int(options.inFlightBytes))
        for model in root.models {
            let identity = model.manifest.identity
            models[identity] = OpenModel(cached: model, source: Self.describe(identity))
        }
    }

    // MARK: Opening

    /// Gives the caller the model that its settings name, filling it if need be. The caller holds it until ``release(_:)``.
    package func open(_ variables: [String: String]) async throws(AgentFailure) -> OpenModel {
        let settings: SourceSettings
        let client: StoreClient
        do throws(SettingError) {
            settings = try SourceSettings(variables)
            var configuration = settings.configuration
            configuration.retry = Self.openingRetry
            client = StoreClient(configuration, engine: try engine(for: settings))
        } catch {
            throw AgentFailure(.settings, "\(error)")
        }
        let identity = Self.identity(of: settings)
        if let model = models[identity], let time = proven[identity]?[settings.fingerprint],
            time.duration(to: .now) < Self.proofLifetime, !model.cached.files.contains(where: { $0.state == .failed })
        {
            model.cached.retain()
            return model
        }
        let objects: [StoredObject]
        do throws(StoreError) {
            objects = try await client.list().objects
        } catch {
            if error.isRetryable, let model = models[identity], model.cached.files.allSatisfy({ $0.state == .complete }),
                proven[identity]?[settings.fingerprint] != nil
            {
                logger.warning("store unreachable, serving the complete cached copy", metadata: ["model": "\(model.cached.id)", "reason": "\(error)"])
                model.cached.retain()
                return model
            }
            throw Self.failure(error)
        }
        proven[identity, default: [:]][settings.fingerprint] = .now
        let location = settings.configuration.location
        let wanted = objects.filter { object in location.relativeKey(object.key).map { settings.includes($0) } ?? false }
        guard !wanted.isEmpty else {
            let hint = settings.include.isEmpty ? "" : " that matches \(settings.include.joined(separator: ","))"
            throw AgentFailure(.notFound, "OSS_PATH: no object\(hint) under \(location); check the prefix, `modelcache ls` shows what is there")
        }
        return try await exclusively { () async throws(AgentFailure) in
            try await self.admit(wanted, identity: identity, settings: settings, client: client)
        }
    }

    private func admit(
        _ objects: [StoredObject], identity: SourceIdentity, settings: SourceSettings, client: StoreClient
    ) async throws(AgentFailure) -> OpenModel {
        guard !isClosed else { throw AgentFailure(.internal, "the agent is shutting down; try again in a moment") }
        let location = settings.configuration.location
        let listed = try manifest(identity, objects.map { object in
            ManifestFile(
                key: location.relativeKey(object.key) ?? object.key, size: object.size, etag: object.etag,
                lastModified: object.lastModified)
        })
        if let model = models[identity] {
            if model.cached.manifest.generation == listed.generation {
                if model.cached.files.contains(where: { $0.state == .failed }) {
                    // A failure was the last caller's: expired credentials, a store that was away. This one may do better.
                    // The fill that failed may not have quite ended; chunks that it has stay.
                    await model.stopFill()
                    for file in model.cached.files { file.resume() }
                }
                model.cached.retain()
                startFill(model, client: client, settings: settings)
                return model
            }
            logger.notice("the source has changed, replacing the cached copy", metadata: ["model": "\(model.cached.id)"])
            for file in model.cached.files where file.state == .filling {
                file.fail(reason: "the objects under \(location) were replaced at the store; start again to load the new version")
            }
            try await remove(model, why: "replaced at the store")
        }
        try await makeRoom(for: listed.totalBytes)
        // Digests come with HEAD; the listing has none. Asked for once, when the model is new.
        let complete = try manifest(identity, try await withDigests(listed.files, prefix: location.prefix, client: client))
        let cached: CachedModel
        do {
            cached = try root.open(complete)
        } catch {
            throw Self.failure(error)
        }
        let model = OpenModel(cached: cached, source: location.description)
        models[identity] = model
        cached.retain()
        audit.record(event: "open", model: cached.id, source: location.description, bytes: complete.totalBytes)
        logger.info("model opened", metadata: ["model": "\(cached.id)", "files": "\(complete.files.count)", "bytes": "\(complete.totalBytes)"])
        startFill(model, client: client, settings: settings)
        return model
    }

    private func startFill(_ model: OpenModel, client: StoreClient, settings: SourceSettings) {
        let most = min(options.connections ?? .max, Int(options.inFlightBytes) / (2 << 20))
        let id = model.cached.id
        let source = model.source
        let cached = model.cached
        model.fill(
            client: client, pool: pool,
            limits: FillLimits(maximumTransfers: most, initialTransfers: options.connections ?? 8),
            prefetches: true, logger: logger
        ) { [audit] in
            let isComplete = cached.files.allSatisfy { $0.state == .complete }
            audit.record(event: isComplete ? "filled" : "unfinished", model: id, source: source, bytes: cached.statistics.receivedBytes)
        }
    }

    private func withDigests(
        _ files: [ManifestFile], prefix: String, client: StoreClient
    ) async throws(AgentFailure) -> [ManifestFile] {
        do {
            return try await withThrowingTaskGroup(of: (Int, ManifestFile).self) { group in
                var result = files
                var next = 0
                func submit() {
                    guard next < files.count else { return }
                    let index = next
                    next += 1
                    group.addTask {
                        var file = files[index]
                        let head = try await client.head(prefix + file.key)
                        guard head.etag == file.etag, head.size == file.size else {
                            throw AgentFailure(.internal, "\(file.key) was replaced at the store just now; start again")
                        }
                        file.checksums = ObjectChecksums(
                            crc64: head.crc64ECMA, crc64nvme: head.crc64NVME,
                            md5: head.md5.map { $0.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined() })
                        return (index, file)
                    }
                }
                for _ in 0..<Self.concurrentHeads { submit() }
                while let (index, file) = try await group.next() {
                    result[index] = file
                    submit()
                }
                return result
            }
        } catch let error as StoreError {
            throw Self.failure(error)
        } catch let error as AgentFailure {
            throw error
        } catch {
            throw AgentFailure(.internal, "\(error)")
        }
    }

    /// The holder from ``open(_:)`` is done with the model.
    package nonisolated func release(_ model: OpenModel) { model.cached.release() }

    // MARK: Room

    private func policy() throws(AgentFailure) -> EvictionPolicy {
        let present = models.values.reduce(UInt64(0)) { $0 + $1.cached.statistics.receivedBytes }
        let free: UInt64
        do {
            free = try root.space().freeBytes
        } catch {
            throw Self.failure(error)
        }
        // A twentieth of the medium stays free: page tables, presence files, the rest of the machine.
        let fits = (present + free) / 20 * 19
        let budget = options.budgetBytes.map { min(UInt64($0), fits) } ?? fits
        return EvictionPolicy(budgetBytes: budget, expireSeconds: options.expireTime.map { $0.components.seconds })
    }

    private func makeRoom(for bytes: UInt64) async throws(AgentFailure) {
        let victims: [String]
        do {
            victims = try policy().admit(bytes: bytes, among: models.values.map(\.cached.usage))
        } catch let error as ChunkStoreError {
            throw Self.failure(error)
        } catch {
            throw AgentFailure(.internal, "\(error)")
        }
        for id in victims {
            guard let model = models.values.first(where: { $0.cached.id == id }) else { continue }
            try await remove(model, why: "room was needed")
        }
    }

    private func remove(_ model: OpenModel, why: String) async throws(AgentFailure) {
        await model.stopFill()
        do {
            try root.evict(model.cached)
        } catch {
            throw Self.failure(error)
        }
        models[model.cached.manifest.identity] = nil
        audit.record(event: "evict", model: model.cached.id, source: model.source, bytes: model.cached.manifest.totalBytes)
        logger.info("model evicted", metadata: ["model": "\(model.cached.id)", "reason": "\(why)"])
    }

    /// Evicts what nobody has used for the expire time. To be called once a second; also shows readers that the agent lives.
    package func tick() async {
        for model in models.values { model.cached.beat() }
        guard options.expireTime != nil, let policy = try? policy() else { return }
        let expired = policy.expired(among: models.values.map(\.cached.usage), now: Self.wallClockSeconds)
        guard !expired.isEmpty else { return }
        try? await exclusively { () async throws(AgentFailure) in
            for id in expired {
                // Asked again: somebody may have opened it while this call waited.
                guard let model = self.models.values.first(where: { $0.cached.id == id }), model.cached.usage.inUse == 0 else { continue }
                try await self.remove(model, why: "nobody used it")
            }
        }
    }

    /// Evicts one model by id, or all that nobody uses. A model in use goes only by force: its readers keep the pages they have.
    ///
    /// - Returns: ids that went.
    package func evict(_ id: String?, force: Bool) async throws(AgentFailure) -> [String] {
        try await exclusively { () async throws(AgentFailure) in
            var gone: [String] = []
            let chosen = self.models.values.filter { id == nil || $0.cached.id == id }
            if let id, chosen.isEmpty {
                throw AgentFailure(.notFound, "no cached model \(id); `modelcache status` lists them")
            }
            for model in chosen {
                let usage = model.cached.usage
                if !force && (usage.inUse > 0 || usage.pinned) {
                    guard id == nil else {
                        throw AgentFailure(.capacity, "\(model.cached.id) is \(usage.pinned ? "pinned" : "used by \(usage.inUse) clients"); end them first, or use --force")
                    }
                    continue
                }
                for file in model.cached.files where file.state == .filling { file.fail(reason: "the model was evicted from the cache; start again") }
                try await self.remove(model, why: "asked for")
                gone.append(model.cached.id)
            }
            return gone
        }
    }

    package func pin(_ id: String, pinned: Bool) throws(AgentFailure) {
        guard let model = models.values.first(where: { $0.cached.id == id }) else {
            throw AgentFailure(.notFound, "no cached model \(id); `modelcache status` lists them")
        }
        do {
            try model.cached.setPinned(pinned)
        } catch {
            throw Self.failure(error)
        }
    }

    // MARK: State

    package var isEmpty: Bool { models.isEmpty }

    package var modelStatuses: [ModelStatus] {
        let now = Self.wallClockSeconds
        return models.values.map { $0.status(now: now) }.sorted { $0.id < $1.id }
    }

    package var capacity: (budgetBytes: Int64, inFlightBytes: Int64) {
        let budget = (try? policy())?.budgetBytes ?? 0
        return (Int64(clamping: budget), Int64(pool.usedBytes))
    }

    /// Stops all fills, keeps all bytes, gives the root up.
    package func close() async {
        isClosed = true
        for model in models.values { await model.stopFill() }
        for engine in engines.values { engine.shutDown() }
        root.close()
    }

    // MARK: Parts

    private func engine(for settings: SourceSettings) throws(SettingError) -> TransferEngine {
        let key = EngineKey(sourceAddresses: settings.sourceAddresses, authorityFile: settings.authorityFile)
        if let engine = engines[key] { return engine }
        let engine = try TransferEngine(
            TransferEngineConfiguration(
                threads: options.receiveThreads, sourceAddresses: settings.sourceAddresses,
                authorityFile: settings.authorityFile))
        engines[key] = engine
        return engine
    }

    private func manifest(_ identity: SourceIdentity, _ files: [ManifestFile]) throws(AgentFailure) -> Manifest {
        do {
            return try Manifest(identity: identity, files: files)
        } catch {
            throw Self.failure(error)
        }
    }

    /// Runs `body` when no other such body runs: an actor alone does not keep calls apart across an await.
    private func exclusively<T: Sendable>(_ body: () async throws(AgentFailure) -> T) async throws(AgentFailure) -> T {
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

    private static func identity(of settings: SourceSettings) -> SourceIdentity {
        SourceIdentity(
            endpoint: settings.configuration.endpoint.canonical, bucket: settings.configuration.location.bucket,
            prefix: settings.configuration.location.prefix)
    }

    /// Seconds since 1970, the clock of `ModelUsage.lastUsed`, which outlives the agent.
    private static var wallClockSeconds: Int64 { Int64(Date.now.timeIntervalSince1970) }

    private static func describe(_ identity: SourceIdentity) -> String {
        "oss://\(identity.bucket)/\(identity.prefix)"
    }

    private static func failure(_ error: StoreError) -> AgentFailure { AgentFailure(error) }

    private static func failure(_ error: ChunkStoreError) -> AgentFailure {
        let code: AgentFailure.Code =
            switch error {
            case .capacity, .mediumFull: .capacity
            default: .internal
            }
        return AgentFailure(code, "\(error)")
    }
}
