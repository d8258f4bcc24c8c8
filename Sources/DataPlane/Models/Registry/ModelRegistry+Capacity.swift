internal import AgentAPI
internal import ChunkStore
internal import Foundation

/// Budgets, eviction, expiry.
extension ModelRegistry {
    /// The models that count against one medium's budget. Standalone models lie in the agent's root, which is the
    /// memory's.
    ///
    /// Models that somebody waits for, and reservations, count as used: none of them may be evicted.
    func usages(_ medium: CacheDefinition.Medium, except name: ModelName? = nil) -> [ModelUsage] {
        var usages: [ModelUsage] = []
        for (identity, model) in models where medium == .memory && name != .source(identity) {
            usages.append(busy(model.cached.usage, .source(identity)))
        }
        for (uid, cache) in caches where cache.definition.medium == medium && name != .cache(uid) {
            usages.append(busy(cache.usage, .cache(uid)))
        }
        for (holder, bytes) in books[medium]?.reservations ?? [:] {
            if let usage = usage(holder, bytes, except: name) { usages.append(usage) }
        }
        return usages
    }

    private func busy(_ usage: ModelUsage, _ name: ModelName) -> ModelUsage {
        var usage = usage
        if let machine = machines[name], !machine.isLeaving { usage.inUse += machine.waitingCount }
        return usage
    }

    /// A reservation for more than the model or cache itself holds; nil: it is counted already.
    private func usage(_ holder: CapacityBook.Holder, _ bytes: UInt64, except name: ModelName?) -> ModelUsage? {
        let holderName: ModelName
        switch holder {
        case .opening(let opening): holderName = opening
        case .order(let uid): holderName = .cache(uid)
        }
        guard holderName != name else { return nil }
        let counted: UInt64
        switch holderName {
        case .source(let identity): counted = models[identity]?.cached.usage.bytes ?? 0
        case .cache(let uid): counted = caches[uid]?.reservedBytes ?? 0
        }
        guard bytes > counted else { return nil }
        return ModelUsage(
            id: "\(id(holderName)) (being opened)", bytes: bytes - counted, lastUsed: Self.wallClockSeconds, inUse: 1,
            pinned: false)
    }

    /// Asks the file system: the registry may change meanwhile, so callers look at ``usages(_:except:)`` after it.
    func policy(_ medium: CacheDefinition.Medium) async throws(AgentFailure) -> EvictionPolicy {
        let free = try await freeBytes(medium)
        let statistics =
            (medium == .memory ? models.values.map(\.cached.statistics) : [])
            + caches.values.filter { $0.definition.medium == medium }.compactMap { $0.model?.cached.statistics }
        let present = statistics.reduce(UInt64(0)) { $0 + $1.receivedBytes }
        // A twentieth of the medium stays free: page tables, presence files, the rest of the machine.
        let fits = (present + free) / 20 * 19
        let configured = medium == .memory ? options.budgetBytes : options.diskBudgetBytes
        let budget = configured.map { min(UInt64($0), fits) } ?? fits
        return EvictionPolicy(budgetBytes: budget, expireSeconds: options.expireTime.map { $0.components.seconds })
    }

    private func freeBytes(_ medium: CacheDefinition.Medium) async throws(AgentFailure) -> UInt64 {
        guard let directory = medium == .memory ? root : volumes[medium], let look = spaces[medium] else { return 0 }
        let space = await look.value(disk) {
            Result { () throws(ChunkStoreError) in try directory.space().freeBytes }
        }
        do throws(ChunkStoreError) { return try space.get() } catch { throw AgentFailure(error) }
    }

    func name(_ id: String) -> ModelName? {
        if caches[id] != nil { return .cache(id) }
        return models.first { $0.value.cached.id == id }.map { .source($0.key) }
    }

    func isPinned(_ name: ModelName) -> Bool {
        switch name {
        case .source(let identity): models[identity]?.cached.usage.pinned ?? false
        // Its placement decides: nothing but force takes the bytes of a pinned cache.
        case .cache(let uid): caches[uid]?.definition.pinned ?? false
        }
    }

    /// Evicts models that nobody has used for the expire time or a cache's idle time. To be called once a second; also
    /// shows readers that the agent lives.
    package func tick() {
        let everyModel = models.values + caches.values.compactMap(\.model)
        for model in everyModel where model.cached.medium != .disk { model.cached.beat() }
        saveUse(everyModel.map(\.cached))
        publishWithFreeNames()
        sources.engines.sweep()
        let now = Self.wallClockSeconds
        for cache in caches.values where cache.isIdle(now: now) {
            requestEviction(
                of: .cache(cache.uid), by: .upkeep, force: false,
                reason: "the cache was emptied for want of readers; start again")
        }
        guard let expireTime = options.expireTime else { return }
        let policy = EvictionPolicy(budgetBytes: .max, expireSeconds: expireTime.components.seconds)
        for id in policy.expired(among: models.values.map(\.cached.usage), now: now) {
            guard let name = name(id) else { continue }
            requestEviction(
                of: name, by: .upkeep, force: false, reason: "the model was evicted because nobody used it; start again"
            )
        }
    }

    private func publishWithFreeNames() {
        var named: [(ModelName, OpenModel)] = models.map { (.source($0.key), $0.value) }
        for (uid, cache) in caches { if let model = cache.model { named.append((.cache(uid), model)) } }
        for (name, model) in named {
            model.publishWithFreeNames(logger: logger) { [weak self] in Task { await self?.offer(model, name) } }
        }
    }

    /// A slow medium delays nothing: what comes meanwhile is saved a second later.
    private func saveUse(_ models: [CachedModel]) {
        guard !isSavingUse else { return }
        isSavingUse = true
        Task {
            await disk.run {
                for model in models {
                    // The sign of life of those in memory does not wait for a disk.
                    if model.medium == .disk { model.beat() }
                    model.saveLastUsed()
                }
            }
            isSavingUse = false
        }
    }

    /// Evicts one model by id, or all that nobody uses. A model in use goes only by force: its readers keep the pages
    /// they have. Of a ModelCache the bytes alone go.
    ///
    /// - Returns: ids that went.
    package func evict(_ id: String?, force: Bool) async throws(AgentFailure) -> [String] {
        let reason = "the model was evicted from the cache; start again"
        guard let id else {
            let names = models.keys.map { ModelName.source($0) }
            var gone: [String] = []
            for name in names where await evicted(name, force: force, reason: reason) == .evicted {
                gone.append(self.id(name))
            }
            return gone.sorted()
        }
        guard let name = name(id) else {
            throw AgentFailure(.notFound, "no cached model \(id); `modelcache status` lists them")
        }
        if case .refused(let failure) = await evicted(name, force: force, reason: reason) {
            throw AgentFailure(failure.code, "\(title(name)): \(failure.message)")
        }
        return [id]
    }

    /// Waits for the outcome.
    func evicted(_ name: ModelName, force: Bool, isFinal: Bool = false, reason: String) async -> ModelMachine.Outcome {
        let number = nextNumber()
        return await withCheckedContinuation { continuation in
            evictions[number] = continuation
            requestEviction(of: name, by: .request(number), force: force, isFinal: isFinal, reason: reason)
        }
    }

    private func title(_ name: ModelName) -> String {
        if case .cache(let uid) = name, let cache = caches[uid] { return cache.fullName }
        return id(name)
    }

    package func pin(_ id: String, pinned: Bool) async throws(AgentFailure) {
        if let cache = caches[id] {
            throw AgentFailure(.denied, "\(cache.fullName) is a ModelCache's: what is pinned its placement decides")
        }
        guard let model = models.values.first(where: { $0.cached.id == id }) else {
            throw AgentFailure(.notFound, "no cached model \(id); `modelcache status` lists them")
        }
        do throws(ChunkStoreError) {
            try await disk.run { () throws(ChunkStoreError) in try model.cached.setPinned(pinned) }
        } catch {
            throw AgentFailure(error)
        }
    }
}
