internal import AgentAPI
internal import ChunkStore
internal import Foundation

/// What clients of a cache's own socket ask for, and what becomes of a cache that nobody reads.
extension ModelRegistry {
    /// Gives the caller the model of one cache, filling it if need be. The caller holds it until ``release(_:)``.
    package func open(
        _ variables: [String: String], cache uid: String, identity: CallerIdentity = CallerIdentity()
    ) async throws(AgentFailure) -> OpenModel {
        var variables = variables
        let token = variables.removeValue(forKey: CallerIdentity.tokenSetting)
        let admitted = try await identity.admit(token: token, to: { await self.servedDefinition(of: uid) }) { [logger] in
            logger.info("a caller waits for newer token keys: its token names one that is not known yet", metadata: ["cache": "\(uid)"])
        }
        guard let definition = admitted else { throw isClosed ? Self.closing : Self.gone }
        let merged = try CacheSource.variables(of: variables, for: definition, defaults: options.sourceDefaults)
        do throws(AgentFailure) {
            switch try await prove(merged, for: .cache(uid), include: definition.source.include) {
            case .held(let model): return model
            case .listed(let listing):
                return try await exclusively { () async throws(AgentFailure) in try await self.admit(listing, cache: uid) }
            }
        } catch {
            // Held against the cache only where it has nothing better to show (``PreparedCache/state``).
            caches[uid]?.failure = CacheReport.Failure(code: error.reason.rawValue, message: error.message)
            throw error
        }
    }

    private func servedDefinition(of uid: String) -> CacheDefinition? { isClosed ? nil : caches[uid]?.definition }

    private func admit(_ listing: Listing, cache uid: String) async throws(AgentFailure) -> OpenModel {
        guard !isClosed else { throw Self.closing }
        guard let cache = caches[uid] else { throw Self.gone }
        let limit = cache.definition.bandwidthLimit
        if let model = cache.model {
            if model.cached.manifest.generation == listing.manifest.generation {
                await takeUp(model, listing, bytesPerSecond: limit)
                caches[uid]?.failure = nil
                return model
            }
            logger.notice("the source has changed, replacing the cached copy", metadata: ["cache": "\(cache.fullName)"])
            model.failFilling(reason: "the objects under \(listing.location) were replaced at the store; start again to load the new version")
            try await drop(uid, why: "replaced at the store")
        }
        try await makeRoom(for: max(listing.manifest.totalBytes, cache.reservedBytes), in: cache.definition.medium, cache: uid)
        let complete = try await withDigests(listing)
        let cached: CachedModel
        do {
            cached = try cache.volume.open(complete)
        } catch {
            throw Self.failure(error)
        }
        let model = OpenModel(cached: cached, source: cache.definition.source.uri)
        caches[uid]?.model = model
        caches[uid]?.failure = nil
        cached.retain()
        audit.record(event: "open", model: uid, source: cache.definition.source.uri, bytes: complete.totalBytes)
        logger.info("cache opened", metadata: ["cache": "\(cache.fullName)", "files": "\(complete.files.count)", "bytes": "\(complete.totalBytes)"])
        startFill(model, listing, bytesPerSecond: limit)
        return model
    }

    /// Gives up a cache's bytes; volume, socket and definition stay, so that a later client streams again.
    func drop(_ uid: String, why: String) async throws(AgentFailure) {
        guard let cache = caches[uid], let model = cache.model else { return }
        await model.stopFill()
        do {
            try cache.volume.drop()
        } catch {
            throw Self.failure(error)
        }
        caches[uid]?.pastOriginBytes += model.originBytes
        caches[uid]?.pastPeerBytes += model.peerBytes
        caches[uid]?.model = nil
        audit.record(event: "evict", model: uid, source: cache.definition.source.uri, bytes: model.cached.manifest.totalBytes)
        logger.info("cache emptied", metadata: ["cache": "\(cache.fullName)", "reason": "\(why)"])
    }

    /// Drops the bytes of caches that are not pinned and had no client for their idle time.
    func dropIdle() async {
        let now = Self.wallClockSeconds
        let idle = caches.values.filter { $0.isIdle(now: now) }.map(\.uid)
        guard !idle.isEmpty else { return }
        try? await exclusively { () async throws(AgentFailure) in
            for uid in idle where self.caches[uid]?.isIdle(now: now) == true {
                self.caches[uid]?.model?.failFilling(reason: "the cache was emptied for want of readers; start again")
                try await self.drop(uid, why: "nobody read it")
            }
        }
    }

    /// `modelcache evict` of a ModelCache's copy on this node: the bytes alone.
    func evict(_ cache: PreparedCache, force: Bool) async throws(AgentFailure) {
        let usage = cache.usage
        guard force || (usage.inUse == 0 && !usage.pinned) else {
            throw AgentFailure(.capacity, "\(cache.fullName) is \(usage.pinned ? "pinned" : "used by \(usage.inUse) clients"); end them first, or use --force")
        }
        cache.model?.failFilling(reason: "the model was evicted from the cache; start again")
        try await drop(cache.uid, why: "asked for")
    }

    /// The state that a cache's own socket shows.
    package func modelStatus(ofCache uid: String) -> ModelStatus? { caches[uid]?.status(now: Self.wallClockSeconds) }

    /// Whether the cache's socket answers those alone who opened it with a token.
    package func isGuarded(cache uid: String) -> Bool { caches[uid]?.definition.callers != nil }

    private static let gone = AgentFailure(.internal, "the ModelCache was deleted from this node; wait until it is prepared again")
}

extension PreparedCache {
    func isIdle(now: Int64) -> Bool {
        guard !definition.pinned, definition.idleSeconds > 0, let usage = model?.cached.usage, usage.inUse == 0 else { return false }
        return now - usage.lastUsed >= Int64(definition.idleSeconds)
    }
}
