package import AgentAPI
package import ChunkStore
internal import Foundation
package import Logging
package import ObjectStore
package import RangeTransfer
package import Swarm
internal import Synchronization
package import Transfer

/// One caller's use of an open model, from ``ModelRegistry/open(_:)`` until ``ModelRegistry/release(_:)``.
package struct ModelHold: Sendable {
    package let model: OpenModel
    let number: UInt64
    /// Nil: the caller is not known to be a pod.
    private(set) var reader: PodReader?

    fileprivate init(model: OpenModel, number: UInt64) {
        self.model = model
        self.number = number
    }

    /// The pod's start is recorded until the hold is released.
    package func read(by reader: PodReader) -> ModelHold {
        var hold = self
        hold.reader = reader
        reader.reads(hold)
        return hold
    }

    /// Passes a wait of the caller on to the fill.
    ///
    /// - Returns: false: too many different demands of the model wait already.
    package func demand(file: UInt32, offset: UInt64, length: UInt64) -> Bool {
        reader?.awaits(file: file, offset: offset, length: length, hold: self)
        return model.demand(file: file, offset: offset, length: length)
    }
}

/// One cached model as the agent holds it: the files, and the fill that completes them.
package final class OpenModel: Sendable {
    package let cached: CachedModel
    /// `oss://bucket/prefix/`, for people.
    package let source: String
    private struct State {
        var fill: (any Fill)?
        /// Of the fill that runs.
        var inbox: FillInbox?
        /// Hold the engines of the fill's clients open, by engine.
        var leases: [ObjectIdentifier: any Sendable] = [:]
        /// This node's part in the model's swarm: outlives its fill, to serve what is whole.
        var node: SwarmFill?
        /// Serves more than `node`, and takes its place once it does.
        var successor: SwarmFill?
        var run: Task<Void, Never>?
        var pastCounters = Counters()
        var lastFailure: FillFailure?
        var subscribers: [ObjectIdentifier: @Sendable () -> Void] = [:]
        /// Of the last listing.
        var warnings: [ModelWarning] = []
        var detour: EndpointDetour?
        /// The set of files changes: a fill that began now would be of the former one.
        var isUpdating = false
        /// Files that failed for their names are looked at.
        var isNaming = false
        var revivedAt: ContinuousClock.Instant?
        /// The settings of each caller that holds the model, by the number of its ``ModelHold``.
        var holders: [UInt64: SourceQuery] = [:]
        var lastHolder: UInt64 = 0
        /// Listens for lost chunks while somebody holds the model.
        var losses: Task<Void, Never>?
        /// A chunk was lost while the fill ran, which may have been ending.
        var hasLost = false
        /// A file was published aside from fills, and `node` does not offer it to others.
        var hasUnoffered = false
    }
    private struct Counters {
        var bytes: Int64 = 0
        var peerBytes: Int64 = 0
        var copiedBytes: Int64 = 0
        var servedBytes: Int64 = 0
        var controlBytes: Int64 = 0
        var wrongPeerBlocks: Int64 = 0
        var requests: Int64 = 0
        var retries: Int64 = 0
        var throttled: Int64 = 0
        var refilled: Int64 = 0
        var waits = DemandWaits()

        mutating func add(_ meter: FillMeter) {
            bytes += meter.receivedBytes
            peerBytes += meter.peerBytes
            copiedBytes += meter.copiedBytes
            wrongPeerBlocks += meter.wrongPeerBlocks
            requests += meter.requests
            retries += meter.retries
            throttled += meter.throttled
            refilled += meter.refilledFiles
            waits = waits + meter.waits
        }

        mutating func add(_ node: SwarmFill) {
            servedBytes += node.servedBytes
            controlBytes += node.controlBytes
        }
    }
    private let state = Mutex(State())

    package init(cached: CachedModel, source: String) {
        self.cached = cached
        self.source = source
        // Weak: the model outlives its place in the registry only as long as somebody reads.
        cached.onChange { [weak self] in self?.notify() }
    }

    // MARK: Holders

    /// Until ``release(_:)`` the model is in use.
    ///
    /// - Parameter lost: called for each chunk that is lost while anybody holds the model; the first holder's.
    package func hold(_ query: SourceQuery, lost: @escaping @Sendable () async -> Void) -> ModelHold {
        cached.retain()
        return state.withLock { state in
            state.lastHolder += 1
            state.holders[state.lastHolder] = query
            if state.losses == nil {
                let chunks = cached.lostChunks()
                state.losses = Task { for await _ in chunks { await lost() } }
            }
            return ModelHold(model: self, number: state.lastHolder)
        }
    }

    /// Once for each ``hold(_:lost:)``.
    package func release(_ hold: ModelHold) {
        let losses: Task<Void, Never>? = state.withLock { state in
            precondition(state.holders.removeValue(forKey: hold.number) != nil, "released twice")
            guard state.holders.isEmpty else { return nil }
            defer { state.losses = nil }
            return state.losses
        }
        losses?.cancel()
        cached.release()
    }

    /// The settings of those who hold the model, the latest first.
    package var holders: [SourceQuery] {
        state.withLock { state in state.holders.sorted { $0.key > $1.key }.map(\.value) }
    }

    // MARK: Fill

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

    /// Serves a model that is whole to other nodes, unless all of it is served already. A part that is served already
    /// is served on until all is.
    package func share(peers: PeerLink, limits: FillLimits, logger: Logger) {
        let node: SwarmFill? = state.withLock { state in
            guard state.node == nil || state.hasUnoffered, state.successor == nil, state.fill == nil,
                !state.isUpdating, cached.files.allSatisfy({ $0.state == .complete || $0.awaitsChecksAlone })
            else { return nil }
            state.hasUnoffered = false
            let node = SwarmFill(
                model: cached, client: nil, swarm: peers.swarm, peerEngine: peers.engine, pool: peers.pool,
                limits: limits, logger: logger)
            state.successor = node
            return node
        }
        guard let node else { return }
        Task {
            await cached.checked()
            // A chunk was lost: the next opening fills the model and shares it. Without a client this node could not
            // read what falls to it.
            guard cached.files.allSatisfy({ $0.state == .complete }) else {
                return state.withLock { if $0.successor === node { $0.successor = nil } }
            }
            await node.serve()
            let hasMore = state.withLock { state in
                guard state.successor === node else { return false }
                state.successor = nil
                retire(&state)
                state.node = node
                return state.hasUnoffered
            }
            if hasMore { share(peers: peers, limits: limits, logger: logger) }
        }
    }

    /// The former parts in the swarm make way; they have ended or do soon.
    private func retire(_ state: inout State) {
        for node in [state.node, state.successor].compactMap({ $0 }) {
            state.pastCounters.add(node)
            Task { await node.close() }
        }
        state.node = nil
        state.successor = nil
    }

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

    package var isFilling: Bool { state.withLock { $0.fill != nil } }

    /// The failure that ended the last fill early; nil while one runs.
    package var fillFailure: FillFailure? { state.withLock { $0.fill?.failure ?? $0.lastFailure } }

    /// The code of the first file that failed; nil: none has.
    package var failureCode: AgentErrorCode? {
        guard let failed = cached.files.first(where: { $0.state == .failed }) else { return nil }
        return failed.failedForItsName ? .volumeFailed : AgentErrorCode(fillFailure)
    }

    /// Bytes received from other nodes since this object was made.
    var peerBytes: Int64 { state.withLock { $0.pastCounters.peerBytes + ($0.fill?.meter.peerBytes ?? 0) } }

    /// Bytes copied from other caches of this node since this object was made.
    var copiedBytes: Int64 { state.withLock { $0.pastCounters.copiedBytes + ($0.fill?.meter.copiedBytes ?? 0) } }

    /// Bytes received from the store since this object was made.
    var originBytes: Int64 { state.withLock { $0.pastCounters.bytes + ($0.fill?.meter.receivedBytes ?? 0) } }

    /// The fills as the record of a reader's start needs them.
    package var supply: ReaderSupply {
        let (fill, past) = state.withLock { ($0.fill, $0.pastCounters) }
        var counters = past
        if let meter = fill?.meter { counters.add(meter) }
        return ReaderSupply(
            storeBytes: counters.bytes, peerBytes: counters.peerBytes, copiedBytes: counters.copiedBytes,
            waits: counters.waits,
            // Bytes that a fill does not lack are checked; without one nobody brings those that are missing.
            idleCause: fill == nil ? .queue : .check)
    }

    /// With a look at every file.
    package var progress: ReaderProgress {
        let statistics = cached.statistics
        return ReaderProgress(
            totalBytes: Int64(clamping: statistics.totalBytes), presentBytes: Int64(clamping: statistics.receivedBytes),
            isComplete: statistics.completeFiles == statistics.files, supply: supply)
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

    /// Different demands of one model that wait at a time.
    package static let maximumDemands = FillInbox.maximumDemands

    /// Passes a reader's wait on to the fill.
    ///
    /// - Returns: false: too many different demands wait already.
    fileprivate func demand(file: UInt32, offset: UInt64, length: UInt64) -> Bool {
        cached.demandCheck(fileIndex: file, offset: offset, length: length)
        guard let inbox = state.withLock({ $0.inbox }) else { return true }
        return inbox.demand(file: file, offset: offset, length: length)
    }

    /// Every file is complete and verified.
    package var isComplete: Bool { cached.files.allSatisfy { $0.state == .complete } }

    package var hasFailed: Bool { cached.files.contains { $0.state == .failed } }

    /// Whether a new fill would bring nothing more: every file is complete, is being filled, or failed for a reason of
    /// its own, as an object that cannot be read does.
    package var needsNoNewFill: Bool {
        let isFilling = isFilling
        return cached.files.allSatisfy { file in
            switch file.state {
            case .complete: true
            case .filling: isFilling
            case .failed: file.failedAlone
            }
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

    // MARK: Notices

    /// Calls `notify` now and at every change until ``unsubscribe(_:)``: on the thread that made the change, so it must
    /// be quick and not block.
    package func subscribe(_ subscriber: ObjectIdentifier, _ notify: @escaping @Sendable () -> Void) {
        state.withLock { $0.subscribers[subscriber] = notify }
        // Without this the subscriber would not learn of a change from before its subscription.
        notify()
    }

    package func unsubscribe(_ subscriber: ObjectIdentifier) {
        state.withLock { _ = $0.subscribers.removeValue(forKey: subscriber) }
    }

    private func notify() {
        for notify in Array(state.withLock({ $0.subscribers }).values) { notify() }
    }

    // MARK: Status

    /// Takes the newest listing's warnings, and whose fallback may be in use.
    func note(_ warnings: [ModelWarning], detour: EndpointDetour?) {
        state.withLock { state in
            state.warnings = warnings
            state.detour = detour
        }
    }

    /// - Parameter isThrottled: the store has asked the fill that runs for fewer requests.
    private func warnings(isThrottled: Bool) -> [ModelWarning]? {
        let (listed, detour) = state.withLock { ($0.warnings, $0.detour) }
        let unchecked = cached.files.compactMap { file in
            file.unverifiableReason.map { ModelWarning(object: file.key, "not verified: \($0)") }
        }
        let all =
            listed + ModelWarning.bounded(unchecked, "are not verified")
            + (detour?.warning.map { [ModelWarning($0)] } ?? []) + (isThrottled ? [.throttled] : [])
        return all.isEmpty ? nil : all
    }

    /// Nil: this node does not share the model.
    package func swarmReport() async -> SwarmReport? { await state.withLock { $0.node }?.report() }

    /// A file that cannot be read ends the others no sooner than they are there.
    private static func phase(of statistics: ModelStatistics, hasFailed: Bool, isFilling: Bool) -> ModelStatus.Phase {
        if statistics.completeFiles == statistics.files { return .complete }
        return hasFailed && !isFilling ? .failed : .filling
    }

    package func status(now: Int64) -> ModelStatus {
        let (fill, node, past) = state.withLock { ($0.fill, $0.node, $0.pastCounters) }
        var counters = past
        if let node { counters.add(node) }
        if let meter = fill?.meter { counters.add(meter) }
        let statistics = cached.statistics
        let usage = cached.usage
        let failed = cached.files.first { $0.state == .failed }
        let missing = statistics.totalBytes - min(statistics.totalBytes, statistics.receivedBytes)
        let rate = fill?.meter.bytesPerSecond() ?? 0
        // Of chunks under way the bytes that are here are not missing.
        let left = missing - min(missing, fill?.meter.partialBytes ?? 0)
        return ModelStatus(
            id: cached.id, source: source, endpoint: cached.manifest.identity.endpoint, directory: cached.directory,
            phase: Self.phase(
                of: statistics, hasFailed: failed != nil,
                isFilling: fill != nil && cached.files.contains { $0.state == .filling }),
            message: failed?.message, reason: failureCode?.rawValue,
            files: statistics.files, completeFiles: statistics.completeFiles,
            totalBytes: Int64(clamping: statistics.totalBytes), presentBytes: Int64(clamping: statistics.receivedBytes),
            bytesPerSecond: rate, remainingSeconds: missing > 0 && rate > 0 ? Double(left) / rate : nil,
            originBytes: counters.bytes, peerBytes: counters.peerBytes, copiedBytes: counters.copiedBytes,
            servedBytes: counters.servedBytes, controlBytes: counters.controlBytes,
            wrongPeerBlocks: counters.wrongPeerBlocks, wrongPeers: node?.faultyPeers, requests: counters.requests,
            retries: counters.retries,
            throttled: counters.throttled, refilledFiles: counters.refilled,
            transfersInFlight: fill?.meter.transfersInFlight ?? 0, users: usage.inUse, pinned: usage.pinned,
            idleSeconds: usage.inUse > 0 ? 0 : Double(max(0, now - usage.lastUsed)),
            warnings: warnings(isThrottled: missing > 0 && fill.map { $0.meter.throttled > 0 } == true))
    }
}

/// The parts that the agent's models need to load together with other nodes.
package struct PeerLink: Sendable {
    let swarm: Swarm
    /// Receives from peers: it gives a dead one up within a second.
    let engine: TransferEngine
    /// Of the whole agent.
    let pool: StagingPool

    package init(swarm: Swarm, engine: TransferEngine, pool: StagingPool) {
        self.swarm = swarm
        self.engine = engine
        self.pool = pool
    }
}
