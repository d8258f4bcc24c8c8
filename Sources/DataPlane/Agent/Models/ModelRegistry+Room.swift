internal import AgentAPI
internal import ChunkStore
internal import Foundation

/// Budgets, eviction, expiry.
extension ModelRegistry {
    /// What counts against one medium's budget. Standalone models lie in the agent's root, which is the memory's.
    func usages(_ medium: CacheDefinition.Medium, except uid: String? = nil) -> [ModelUsage] {
        (medium == .memory ? models.values.map(\.cached.usage) : [])
            + caches.values.filter { $0.definition.medium == medium && $0.uid != uid }.map(\.usage)
    }

    func policy(_ medium: CacheDefinition.Medium) throws(AgentFailure) -> EvictionPolicy {
        let statistics =
            (medium == .memory ? models.values.map(\.cached.statistics) : [])
            + caches.values.filter { $0.definition.medium == medium }.compactMap { $0.model?.cached.statistics }
        let present = statistics.reduce(UInt64(0)) { $0 + $1.receivedBytes }
        let free: UInt64
        do {
            free =
                switch medium {
                case .memory: try root.space().freeBytes
                case .disk: try volumes[.disk]?.space().freeBytes ?? 0
                }
        } catch {
            throw Self.failure(error)
        }
        // A twentieth of the medium stays free: page tables, presence files, the rest of the machine.
        let fits = (present + free) / 20 * 19
        let configured = medium == .memory ? options.budgetBytes : options.diskBudgetBytes
        let budget = configured.map { min(UInt64($0), fits) } ?? fits
        return EvictionPolicy(budgetBytes: budget, expireSeconds: options.expireTime.map { $0.components.seconds })
    }

    /// - Parameter uid: the cache that the room is for; its own reservation does not stand in its way.
    func makeRoom(for bytes: UInt64, in medium: CacheDefinition.Medium, cache uid: String? = nil) async throws(AgentFailure) {
        let victims: [String]
        do {
            victims = try policy(medium).admit(bytes: bytes, among: usages(medium, except: uid))
        } catch let error as ChunkStoreError {
            throw Self.failure(error)
        } catch {
            throw AgentFailure(.internal, "\(error)")
        }
        for id in victims {
            if let model = models.values.first(where: { $0.cached.id == id }) {
                try await remove(model, why: "room was needed")
            } else {
                try await drop(id, why: "room was needed")
            }
        }
    }

    func remove(_ model: OpenModel, why: String) async throws(AgentFailure) {
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
        for cache in caches.values { cache.model?.cached.beat() }
        await dropIdle()
        guard options.expireTime != nil, let policy = try? policy(.memory) else { return }
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
            if let id, let cache = self.caches[id] {
                try await self.evict(cache, force: force)
                return [id]
            }
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
                model.failFilling(reason: "the model was evicted from the cache; start again")
                try await self.remove(model, why: "asked for")
                gone.append(model.cached.id)
            }
            return gone
        }
    }

    package func pin(_ id: String, pinned: Bool) throws(AgentFailure) {
        if let cache = caches[id] {
            throw AgentFailure(.denied, "\(cache.fullName) is a ModelCache's: what is pinned its placement decides")
        }
        guard let model = models.values.first(where: { $0.cached.id == id }) else {
            throw AgentFailure(.notFound, "no cached model \(id); `modelcache status` lists them")
        }
        do {
            try model.cached.setPinned(pinned)
        } catch {
            throw Self.failure(error)
        }
    }
}
