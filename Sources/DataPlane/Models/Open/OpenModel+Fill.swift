internal import ChunkStore
package import Logging
package import ObjectStore
internal import Synchronization
package import Transfer

/// The fill that completes the files: when one begins, hears of a demand or a limit, and ends.
extension OpenModel {
    /// Starts to fill, or lets a running fill use this client too.
    ///
    /// - Parameters:
    ///   - peers: nil: from the store alone.
    ///   - donors: files of other caches, by the ``CachedFile/fileIndex`` of those that they are copied to.
    ///   - ended: true: a chunk was lost that the fill may not have heard of.
    func fill(
        client: StoreClient, lease: EnginePool.Lease, pool: StagingPool, peers: PeerLink?, limits: FillLimits,
        prefetches: Bool, donors: [UInt32: CachedFile], logger: Logger,
        ended: @escaping @Sendable (Bool) -> Void
    ) {
        fill(client: client, lease: lease, engine: ObjectIdentifier(lease.value), ended: ended) {
            guard let peers else {
                return ModelFill(
                    model: cached, client: client, pool: pool, limits: limits, prefetches: prefetches, donors: donors,
                    logger: logger)
            }
            return SwarmFill(
                model: cached, client: client, swarm: peers.swarm, peerEngine: peers.engine, pool: peers.pool,
                limits: limits, prefetches: prefetches, donors: donors, logger: logger)
        }
    }

    /// Starts the fill that `make` gives, or lets a running one use this client too. Nothing where every file is
    /// complete or an update is under way.
    ///
    /// - Parameters:
    ///   - lease: keeps the client's engine open until the fill has ended.
    ///   - ended: true: a chunk was lost that the fill may not have heard of.
    package func fill(
        client: StoreClient, lease: any Sendable, engine: ObjectIdentifier, ended: @escaping @Sendable (Bool) -> Void,
        make: () -> any Fill
    ) {
        let running: FillInbox? = state.withLock { state in
            if let inbox = state.inbox {
                // Transfers under way still use the former ones.
                if state.leases[engine] == nil { state.leases[engine] = lease }
                return inbox
            }
            guard !state.isUpdating, cached.files.contains(where: { $0.state != .complete }) else { return nil }
            let fill = make()
            if let node = fill as? SwarmFill {
                retire(&state)
                state.node = node
                state.hasUnoffered = false
            }
            state.fill = fill
            state.inbox = FillInbox(fill)
            state.leases = [engine: lease]
            state.lastFailure = nil
            state.hasLost = false
            state.run = Task {
                await fill.run()
                ended(self.fillEnded(fill))
            }
            return nil
        }
        running?.use(client)
    }

    /// Until ``updateEnded()`` no fill begins: its files change or fail.
    package func updateBegins() { state.withLock { $0.isUpdating = true } }

    package func updateEnded() { state.withLock { $0.isUpdating = false } }

    /// Whether files that failed may be tried again now. While the others still fill, not at every opening: each try
    /// ends the transfers that are under way.
    package func mayRevive(now: ContinuousClock.Instant = .now) -> Bool {
        state.withLock { state in
            if state.fill != nil, let last = state.revivedAt, last.duration(to: now) < Self.revivalInterval {
                return false
            }
            state.revivedAt = now
            return true
        }
    }

    package static let revivalInterval: Duration = .seconds(30)

    private func fillEnded(_ fill: any Fill) -> Bool {
        let (leases, hasLost) = state.withLock { state in
            state.pastCounters.add(fill.meter)
            state.lastFailure = fill.failure
            state.fill = nil
            state.inbox = nil
            state.run = nil
            return (take(&state.leases), state.hasLost)
        }
        withExtendedLifetime(leases) {}
        return hasLost
    }

    private func take(_ leases: inout [ObjectIdentifier: any Sendable]) -> [ObjectIdentifier: any Sendable] {
        defer { leases = [:] }
        return leases
    }

    /// Whether chunks are missing that nobody fetches. A fill that runs hears of each loss itself; should it be ending
    /// just now, its end tells.
    package func needsFill() -> Bool {
        state.withLock { state in
            guard state.fill == nil else {
                state.hasLost = true
                return false
            }
            return !state.isUpdating && cached.files.contains { $0.state == .filling && !$0.awaitsChecksAlone }
        }
    }

    /// Different demands of one model that wait at a time.
    package static let maximumDemands = FillInbox.maximumDemands

    /// Passes a reader's wait on to the fill.
    ///
    /// - Returns: false: too many different demands wait already.
    func demand(file: UInt32, offset: UInt64, length: UInt64) -> Bool {
        cached.demandCheck(fileIndex: file, offset: offset, length: length)
        guard let inbox = state.withLock({ $0.inbox }) else { return true }
        return inbox.demand(file: file, offset: offset, length: length)
    }

    /// From now on, for the fill that runs.
    package func limit(bytesPerSecond: Int64?) {
        let (inbox, nodes) = state.withLock { ($0.inbox, [$0.node, $0.successor].compactMap { $0 }) }
        if let inbox { return inbox.limit(bytesPerSecond: bytesPerSecond) }
        for node in nodes { Task { await node.limit(bytesPerSecond: bytesPerSecond) } }
    }

    /// Waiting readers hear that nothing more comes. Blocks on the file system. No fill may go on: it would take the
    /// files' failure for one of the cache.
    package func failFilling(reason: String) {
        for file in cached.files where file.state == .filling { file.fail(reason: reason) }
    }

    /// Publishes files that failed because something else had their names, where these are free now. Quick: the work
    /// is done on threads of its own, one turn at a time. To be called now and then.
    ///
    /// - Parameter published: called once for each turn that published a file. Other nodes are not offered it before
    ///   ``share(peers:limits:logger:)``, for its fill took it for failed.
    package func publishWithFreeNames(logger: Logger, published: @escaping @Sendable () -> Void) {
        let files = cached.files.filter(\.failedForItsName)
        let begins = state.withLock { state in
            guard !files.isEmpty, !state.isNaming, !state.isUpdating else { return false }
            state.isNaming = true
            return true
        }
        guard begins else { return }
        BlockingWork.shared.submit(.completion, for: cached.work) { [self] in
            var hasPublished = false
            for file in files {
                guard let isPublished = file.completeWithFreeName() else { continue }
                if isPublished { hasPublished = true }
                logger.notice(
                    "what had the name of a complete file is gone",
                    metadata: ["model": "\(cached.id)", "file": "\(file.key)", "published": "\(isPublished)"])
            }
            state.withLock { state in
                state.isNaming = false
                if hasPublished { state.hasUnoffered = true }
            }
            if hasPublished { published() }
        }
    }

    /// Tells the fill to end; ``stopFill()`` waits for it.
    func endFill() async { await state.withLock { $0.fill }?.stop() }

    /// Stops the fill and waits until nothing writes to the files any more: not for the check of a file.
    package func stopFill() async {
        let (fill, run, nodes) = state.withLock { ($0.fill, $0.run, [$0.node, $0.successor].compactMap { $0 }) }
        await fill?.stop()
        await run?.value
        for node in nodes { await node.close() }
        state.withLock { state in
            for node in nodes {
                guard state.node === node || state.successor === node else { continue }
                if state.node === node { state.node = nil } else { state.successor = nil }
                state.pastCounters.add(node)
            }
        }
    }
}
