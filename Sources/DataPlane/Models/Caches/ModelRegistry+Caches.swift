package import AgentAPI
internal import ChunkStore
internal import Foundation

/// The operator's requests: they make, change, report and remove caches.
extension ModelRegistry {
    // MARK: Orders

    /// Makes the cache, or changes what may change of it: pin, idle time, limit, size. The same order twice is one.
    ///
    /// - Throws: ``AgentError``: `SourceImmutable`, `InsufficientCapacity`, `VolumeFailed`, `InvalidDefinition`.
    package func prepare(_ uid: String, _ definition: CacheDefinition) async throws(AgentError) -> CacheReport {
        let identity = try rules.check(definition)
        await enterLine(uid)
        defer { leaveLine(uid) }
        let budget: UInt64
        do {
            budget = try await policy(definition.medium).budgetBytes
        } catch {
            throw Self.volumeFailed(error)
        }
        guard !isClosed else { throw Self.volumeFailed(Self.closing) }
        let known = caches[uid]
        var definition = definition
        // An operator that has just started may not know the keys yet; what was verified with so far stays good.
        if definition.callers?.hasKeys == false, let callers = known?.definition.callers {
            definition.callers = callers
        }
        if let known,
            known.identity != identity || Set(known.definition.source.include) != Set(definition.source.include)
                || known.definition.medium != definition.medium
        {
            throw AgentError(
                .sourceImmutable,
                "the cache \(uid) is of \(known.definition.source.uri) on \(known.definition.medium.rawValue)",
                remedy: "delete it first; another source is another ModelCache")
        }
        if let known, known.definition == definition { return known.report }
        try checkCapacity(for: definition, known: known, uid: uid, budgetBytes: budget)
        // The agent promises a pinned cache its bytes from now on, so nobody else gets them while the volume is being
        // made.
        if definition.pinned {
            books[definition.medium]?.promise(UInt64(clamping: definition.sizeBytes), to: .order(uid))
        }
        defer { books[definition.medium]?.release(.order(uid)) }
        if let known { return try await change(known, to: definition) }
        return try await make(uid, definition, identity)
    }

    private func change(_ known: PreparedCache, to definition: CacheDefinition) async throws(AgentError) -> CacheReport
    {
        let volume = known.volume
        let library = preloadLibrary
        do {
            let stored = try StoredDefinition(uid: known.uid, definition: definition).encoded()
            try await disk.run {
                try volume.grow(toModelBytes: UInt64(clamping: definition.sizeBytes))
                try volume.writeDefinition(stored)
                try library?.place(in: volume.directory)
            }
        } catch {
            throw Self.volumeFailed(error)
        }
        // The model may have come or gone meanwhile; the cache itself cannot, for orders of one uid wait for each
        // other.
        caches[known.uid]?.definition = definition
        guard let cache = caches[known.uid] else { throw Self.volumeFailed(ModelMachine.gone) }
        cache.model?.limit(bytesPerSecond: definition.bandwidthLimit)
        return cache.report
    }

    private func make(_ uid: String, _ definition: CacheDefinition, _ identity: SourceIdentity) async throws(AgentError)
        -> CacheReport
    {
        guard let volumes = volumes[definition.medium] else {
            throw AgentError(
                .insufficientCapacity, "this node's agent offers no \(definition.medium.rawValue)",
                remedy: definition.medium == .disk
                    ? "start the agent with --disk-root" : "start the agent with a root for caches",
                neededBytes: definition.sizeBytes, freeBytes: 0)
        }
        let library = preloadLibrary
        let volume: CacheVolume
        do {
            let stored = try StoredDefinition(uid: uid, definition: definition).encoded()
            volume = try await disk.run {
                let volume = try volumes.prepare(
                    uid, definition: stored, modelBytes: UInt64(clamping: definition.sizeBytes))
                // A model of another source is no use here.
                if let model = volume.model, model.manifest.identity != identity { try volume.drop() }
                try library?.place(in: volume.directory)
                return volume
            }
        } catch {
            throw Self.volumeFailed(error)
        }
        do {
            if let sockets {
                try await disk.run { try sockets.listen(at: volume.socketPath, forCache: uid) }
            }
        } catch {
            // A model that lies there may be served by the next try: too few descriptors are no reason to lose it.
            if volume.model == nil { await removeSocketless(volume, volumes) }
            throw Self.volumeFailed(error)
        }
        takeUp(PreparedCache(uid: uid, volume: volume, definition: definition, identity: identity))
        guard let cache = caches[uid] else { preconditionFailure("a cache that was taken up is known") }
        logger.notice(
            "cache prepared",
            metadata: [
                "cache": "\(cache.fullName)", "uid": "\(uid)", "source": "\(definition.source.uri)",
                "bytes": "\(definition.sizeBytes)",
            ])
        return cache.report
    }

    private func removeSocketless(_ volume: CacheVolume, _ volumes: CacheDirectory) async {
        do {
            try await disk.run { () throws(ChunkStoreError) in try volumes.remove(volume) }
        } catch {
            logger.error(
                "volume without a socket cannot be removed", metadata: ["cache": "\(volume.name)", "error": "\(error)"])
        }
    }

    /// The cache is known from now on, with the model that lies in its volume.
    private func takeUp(_ prepared: PreparedCache) {
        var cache = prepared
        let name = ModelName.cache(cache.uid)
        if let model = cache.volume.model {
            cache.model = OpenModel(cached: model, source: cache.definition.source.uri)
            machines[name] = ModelMachine(open: ModelSet(model.manifest.files))
        } else {
            machines[name] = nil
        }
        caches[cache.uid] = cache
        cache.model?.limit(bytesPerSecond: cache.definition.bandwidthLimit)
    }

    /// Removes the cache, its volume and its socket.
    ///
    /// - Parameter force: though clients have it open; they keep the pages they have.
    /// - Throws: ``AgentError``: `InUse`, `VolumeFailed`.
    package func delete(_ uid: String, force: Bool) async throws(AgentError) {
        await enterLine(uid)
        defer { leaveLine(uid) }
        guard let cache = caches[uid] else {
            let everyMedium = Array(volumes.values)
            do throws(ChunkStoreError) {
                try await disk.run { () throws(ChunkStoreError) in
                    for volumes in everyMedium { try volumes.removeRemains(uid) }
                }
            } catch {
                throw Self.volumeFailed(error)
            }
            return
        }
        let users = cache.usage.inUse
        guard users == 0 || force else {
            throw AgentError(
                .inUse, "\(cache.fullName) is open in \(users) clients",
                remedy: "end them first, or ask with force=true", users: users)
        }
        if let sockets { await disk.run { sockets.close(cache: uid) } }
        let name = ModelName.cache(uid)
        // The volume goes with whatever of the model could not be removed.
        _ = await evicted(name, force: true, isFinal: true, reason: "the ModelCache \(cache.fullName) was deleted")
        let volumes = volumes[cache.definition.medium]
        var failure: ChunkStoreError?
        do throws(ChunkStoreError) {
            try await disk.run { () throws(ChunkStoreError) in try volumes?.remove(cache.volume) }
        } catch {
            failure = error
        }
        // Not known any more, whatever is left of it: without its socket and with half a volume it serves nobody. The
        // repeated order removes the rest; a preparation takes it up or begins anew.
        forgetCallers(name)
        caches[uid] = nil
        machines[name] = nil
        if let failure { throw Self.volumeFailed(failure) }
        logger.notice("cache deleted", metadata: ["cache": "\(cache.fullName)", "uid": "\(uid)"])
    }

    /// Orders for one uid are carried out one after the other; those for others do not wait.
    private func enterLine(_ uid: String) async {
        guard lines[uid] != nil else {
            lines[uid] = []
            return
        }
        await withCheckedContinuation { lines[uid, default: []].append($0) }
    }

    private func leaveLine(_ uid: String) {
        guard let waiting = lines[uid] else { preconditionFailure("an order left a line that it never entered") }
        lines[uid] = waiting.isEmpty ? nil : Array(waiting.dropFirst())
        waiting.first?.resume()
    }

    /// Takes up the caches that an earlier agent prepared, and listens at their sockets. To be called once, first.
    package func recoverCaches() {
        if preloadLibrary == nil {
            logger.warning(
                "no libossc_preload.so lies beside this program, so pods find none in their ModelCache's directory; install it or set \(PreloadLibrary.setting)"
            )
        }
        for (medium, volumes) in volumes {
            for volume in volumes.all { recover(volume, in: volumes, medium) }
        }
        for (medium, root) in [(CacheDefinition.Medium.memory, options.root), (.disk, options.diskRoot)] {
            guard let root else { continue }
            let standalone = medium == .memory ? models.keys.map(\.directoryName) : []
            AuthorizationFiles(root: root).sweep(keeping: Set(standalone + (volumes[medium]?.all.map(\.name) ?? [])))
        }
    }

    private func recover(_ volume: CacheVolume, in volumes: CacheDirectory, _ medium: CacheDefinition.Medium) {
        let data: Data
        do {
            data = try volume.readDefinition()
        } catch {
            // It may be read by the next try: the operator's next order, or the next start.
            return logger.error(
                "cache is not served: its definition cannot be read",
                metadata: ["path": "\(volume.directory)", "error": "\(error)"])
        }
        guard let stored = StoredDefinition(data, uid: volume.name), stored.definition.medium == medium,
            let identity = try? rules.check(stored.definition)
        else {
            logger.error(
                "cache set aside: its definition is damaged or of another release; it is taken up when the operator prepares it again",
                metadata: ["path": "\(volume.directory)"])
            return volumes.setAside(volume)
        }
        let cache = PreparedCache(uid: volume.name, volume: volume, definition: stored.definition, identity: identity)
        do {
            if let model = volume.model, model.manifest.identity != identity { try volume.drop() }
            try preloadLibrary?.place(in: volume.directory)
            try sockets?.listen(at: volume.socketPath, forCache: cache.uid)
        } catch {
            return logger.error(
                "cache cannot be served", metadata: ["cache": "\(cache.fullName)", "error": "\(error)"])
        }
        takeUp(cache)
        authorizations[.cache(cache.uid)] = AuthorizationFiles(
            root: medium == .memory ? options.root : options.diskRoot ?? options.root
        ).read(cache.uid)
        logger.info(
            "cache recovered",
            metadata: ["cache": "\(cache.fullName)", "uid": "\(cache.uid)", "state": "\(cache.state)"])
    }

    // MARK: Reports

    package var cacheReports: [CacheReport] { caches.values.map(\.report).sorted { $0.uid < $1.uid } }

    /// uids of directories that no cache has.
    package func cacheRemains() async -> [String] {
        await remains.value(disk) { [volumes] in
            volumes.values.flatMap(\.remains).filter(CachePath.isUID).sorted()
        }
    }

    /// Nil where the agent has no such medium.
    package func mediumReport(_ medium: CacheDefinition.Medium) async -> AgentReport.MediumReport? {
        guard medium == .memory || volumes[medium] != nil else { return nil }
        let budget = try? await policy(medium).budgetBytes
        let usages = usages(medium)
        let used = usages.reduce(UInt64(0)) { $0 + $1.bytes }
        return AgentReport.MediumReport(
            budgetBytes: Int64(clamping: budget ?? 0), usedBytes: Int64(clamping: used),
            heldBytes: Self.held(usages))
    }

    // MARK: Parts

    /// By the rule of ``Capacity``, which the operator foresees.
    private func checkCapacity(
        for definition: CacheDefinition, known: PreparedCache?, uid: String, budgetBytes budget: UInt64
    ) throws(AgentError) {
        let promised = known.map { known in
            let isPinned = known.definition.pinned
            return Capacity.Promise(
                sizeBytes: isPinned ? Int64(clamping: known.reservedBytes) : known.definition.sizeBytes,
                isPinned: isPinned)
        }
        let capacity = Capacity(
            budgetBytes: Int64(clamping: budget), heldBytes: Self.held(usages(definition.medium, except: .cache(uid))))
        let wanted = Capacity.Promise(sizeBytes: definition.sizeBytes, isPinned: definition.pinned)
        guard let lack = capacity.shortfall(for: wanted, after: promised) else { return }
        throw AgentError(
            .insufficientCapacity,
            "\(definition.namespace)/\(definition.name) needs \(lack.neededBytes) bytes of \(definition.medium.rawValue), "
                + "\(lack.freeBytes) of \(budget) can be promised",
            remedy: "give the agent a larger budget, delete another ModelCache of this node, or choose other nodes",
            neededBytes: lack.neededBytes, freeBytes: lack.freeBytes)
    }

    static func held(_ usages: [ModelUsage]) -> Int64 {
        Int64(clamping: usages.filter { !$0.isEvictable }.reduce(UInt64(0)) { $0 + $1.bytes })
    }

    private static func volumeFailed(_ error: any Error) -> AgentError {
        if case .mediumFull = error as? ChunkStoreError {
            return AgentError(.insufficientCapacity, "\(error)", remedy: "free memory or disk on the node")
        }
        return AgentError(.volumeFailed, "\(error)", remedy: "see the agent's log on the node")
    }
}
