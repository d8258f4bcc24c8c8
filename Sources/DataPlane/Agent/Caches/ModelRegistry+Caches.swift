package import AgentAPI
internal import ChunkStore
internal import Foundation

/// What the operator asks for: caches made, changed, reported and removed.
extension ModelRegistry {
    // MARK: Orders

    /// Makes the cache, or changes what may change of it: pin, idle time, limit, size. The same order twice is one.
    ///
    /// - Throws: ``AgentError``: `SourceImmutable`, `InsufficientCapacity`, `VolumeFailed`, `InvalidDefinition`.
    package func prepare(_ uid: String, _ definition: CacheDefinition) async throws(AgentError) -> CacheReport {
        let identity = try rules.check(definition)
        return try await alone { () async throws(AgentError) in
            try await self.prepareAlone(uid, definition, identity)
        }
    }

    private func prepareAlone(
        _ uid: String, _ definition: CacheDefinition, _ identity: SourceIdentity
    ) async throws(AgentError) -> CacheReport {
        guard !isClosed else { throw Self.volumeFailed(Self.closing) }
        let known = caches[uid]
        var definition = definition
        // An operator that has just started may not know the keys yet; what was verified with so far stays good.
        if definition.callers?.hasKeys == false, let callers = known?.definition.callers { definition.callers = callers }
        if let known, known.identity != identity || Set(known.definition.source.include) != Set(definition.source.include)
            || known.definition.medium != definition.medium
        {
            throw AgentError(
                .sourceImmutable, "the cache \(uid) is of \(known.definition.source.uri) on \(known.definition.medium.rawValue)",
                remedy: "delete it first; another source is another ModelCache")
        }
        if let known, known.definition == definition { return known.report }
        try checkRoom(for: definition, known: known, uid: uid)
        guard let volumes = volumes[definition.medium] else {
            throw AgentError(
                .insufficientCapacity, "this node's agent offers no \(definition.medium.rawValue)",
                remedy: definition.medium == .disk ? "start the agent with --disk-root" : "start the agent with a root for caches",
                neededBytes: definition.sizeBytes, freeBytes: 0)
        }
        var cache: PreparedCache
        do {
            let stored = try StoredDefinition(uid: uid, definition: definition).encoded()
            let bytes = UInt64(clamping: definition.sizeBytes)
            if let known {
                try known.volume.grow(toModelBytes: bytes)
                try known.volume.writeDefinition(stored)
                cache = known
                cache.definition = definition
            } else {
                let volume = try volumes.prepare(uid, definition: stored, modelBytes: bytes)
                cache = PreparedCache(uid: uid, volume: volume, definition: definition, identity: identity)
                try adoptModel(into: &cache)
            }
            try preloadLibrary?.place(in: cache.volume.directory)
        } catch {
            throw Self.volumeFailed(error)
        }
        if known == nil {
            do {
                try sockets?.listen(at: cache.volume.socketPath, for: .cache(uid))
            } catch {
                do { try volumes.remove(cache.volume) } catch {
                    logger.error("volume without a socket cannot be removed", metadata: ["cache": "\(uid)", "error": "\(error)"])
                }
                throw Self.volumeFailed(error)
            }
        }
        caches[uid] = cache
        cache.model?.limit(bytesPerSecond: definition.bandwidthLimit)
        if known == nil {
            logger.notice("cache prepared", metadata: [
                "cache": "\(cache.fullName)", "uid": "\(uid)", "source": "\(definition.source.uri)", "bytes": "\(definition.sizeBytes)",
            ])
        }
        return cache.report
    }

    /// Removes the cache, its volume and its socket.
    ///
    /// - Parameter force: though clients have it open; they keep the pages they have.
    /// - Throws: ``AgentError``: `InUse`, `VolumeFailed`.
    package func delete(_ uid: String, force: Bool) async throws(AgentError) {
        try await alone { () async throws(AgentError) in
            guard let cache = self.caches[uid] else {
                do {
                    for volumes in self.volumes.values { try volumes.removeRemains(uid) }
                } catch {
                    throw Self.volumeFailed(error)
                }
                return
            }
            let users = cache.usage.inUse
            guard users == 0 || force else {
                throw AgentError(
                    .inUse, "\(cache.fullName) is open in \(users) clients", remedy: "end them first, or ask with force=true", users: users)
            }
            self.sockets?.close(.cache(uid))
            cache.model?.failFilling(reason: "the ModelCache \(cache.fullName) was deleted")
            await cache.model?.stopFill()
            do {
                try self.volumes[cache.definition.medium]?.remove(cache.volume)
            } catch {
                // Still known, so that the order can be repeated; its socket is back at the next start.
                throw Self.volumeFailed(error)
            }
            self.caches[uid] = nil
            self.logger.notice("cache deleted", metadata: ["cache": "\(cache.fullName)", "uid": "\(uid)"])
        }
    }

    /// Takes up the caches that an earlier agent prepared, and listens at their sockets. To be called once, first.
    package func recoverCaches() {
        if preloadLibrary == nil {
            logger.warning("no libossc_preload.so lies beside this program, so pods find none in their ModelCache's directory; install it or set \(PreloadLibrary.setting)")
        }
        for (medium, volumes) in volumes {
            for volume in volumes.all {
                guard let data = try? volume.readDefinition(), let stored = StoredDefinition(data, uid: volume.name),
                    stored.definition.medium == medium, let identity = try? rules.check(stored.definition)
                else {
                    logger.error(
                        "cache set aside: its definition is damaged or of another release; it is taken up when the operator prepares it again",
                        metadata: ["path": "\(volume.directory)"])
                    volumes.setAside(volume)
                    continue
                }
                var cache = PreparedCache(uid: volume.name, volume: volume, definition: stored.definition, identity: identity)
                do {
                    try adoptModel(into: &cache)
                    try preloadLibrary?.place(in: volume.directory)
                    try sockets?.listen(at: volume.socketPath, for: .cache(cache.uid))
                } catch {
                    logger.error("cache cannot be served", metadata: ["cache": "\(cache.fullName)", "error": "\(error)"])
                    continue
                }
                caches[cache.uid] = cache
                logger.info("cache recovered", metadata: ["cache": "\(cache.fullName)", "uid": "\(cache.uid)", "state": "\(cache.state)"])
            }
        }
    }

    // MARK: Reports

    package var cacheReports: [CacheReport] { caches.values.map(\.report).sorted { $0.uid < $1.uid } }

    /// Nil where the agent has no such medium.
    package func mediumReport(_ medium: CacheDefinition.Medium) -> AgentReport.MediumReport? {
        guard medium == .memory || volumes[medium] != nil else { return nil }
        let used = usages(medium).reduce(UInt64(0)) { $0 + $1.bytes }
        return AgentReport.MediumReport(
            budgetBytes: Int64(clamping: (try? policy(medium).budgetBytes) ?? 0), usedBytes: Int64(clamping: used))
    }

    // MARK: Parts

    /// A model that lies in the volume, when it is of this source.
    private func adoptModel(into cache: inout PreparedCache) throws(ChunkStoreError) {
        guard let model = cache.volume.model else { return }
        if model.manifest.identity == cache.identity {
            cache.model = OpenModel(cached: model, source: cache.definition.source.uri)
        } else {
            try cache.volume.drop()
        }
    }

    /// A reservation is a promise: what is pinned is never promised twice, so it must fit beside all that cannot go.
    private func checkRoom(for definition: CacheDefinition, known: PreparedCache?, uid: String) throws(AgentError) {
        let needed = UInt64(clamping: definition.sizeBytes)
        // What was promised stays promised, though the machine may have less to give today.
        if let known, definition.pinned ? needed <= known.reservedBytes && known.definition.pinned : needed <= UInt64(clamping: known.definition.sizeBytes) {
            return
        }
        let budget: UInt64
        do {
            budget = try policy(definition.medium).budgetBytes
        } catch {
            throw Self.volumeFailed(error)
        }
        let held = usages(definition.medium, except: uid).filter { $0.pinned || $0.inUse > 0 }.reduce(UInt64(0)) { $0 + $1.bytes }
        let free = budget - min(budget, held)
        guard needed <= free else {
            throw AgentError(
                .insufficientCapacity,
                "\(definition.namespace)/\(definition.name) needs \(needed) bytes of \(definition.medium.rawValue), \(free) of \(budget) can be promised",
                remedy: "give the agent a larger budget, delete another ModelCache of this node, or choose other nodes",
                neededBytes: definition.sizeBytes, freeBytes: Int64(clamping: free))
        }
    }

    /// As ``exclusively(_:)``, for orders.
    private func alone<T: Sendable>(_ body: () async throws(AgentError) -> T) async throws(AgentError) -> T {
        let result: Result<T, AgentError>
        do {
            result = try await exclusively { () async throws(AgentFailure) in
                do throws(AgentError) { return .success(try await body()) } catch { return .failure(error) }
            }
        } catch {
            throw Self.volumeFailed(error)
        }
        return try result.get()
    }

    private static func volumeFailed(_ error: any Error) -> AgentError {
        if case .mediumFull = error as? ChunkStoreError {
            return AgentError(.insufficientCapacity, "\(error)", remedy: "free memory or disk on the node")
        }
        return AgentError(.volumeFailed, "\(error)", remedy: "see the agent's log on the node")
    }
}
