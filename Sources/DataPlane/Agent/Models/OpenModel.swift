package import ChunkStore
internal import Foundation
internal import Logging
internal import ObjectStore
internal import Swarm
internal import Synchronization
internal import Transfer

/// One cached model as the agent holds it: the files, and the fill that completes them.
package final class OpenModel: Sendable {
    package let cached: CachedModel
    /// `oss://bucket/prefix/`, for people.
    package let source: String
    private struct State {
        var fill: (any Fill)?
        /// This node's part in the model's swarm: outlives its fill, to serve what is whole.
        var node: SwarmFill?
        var run: Task<Void, Never>?
        var pastCounters = Counters()
        var lastFailure: FillFailure?
        var subscribers: Set<Session> = []
    }
    private struct Counters {
        var bytes: Int64 = 0
        var peerBytes: Int64 = 0
        var servedBytes: Int64 = 0
        var controlBytes: Int64 = 0
        var wrongPeerBlocks: Int64 = 0
        var requests: Int64 = 0
        var retries: Int64 = 0
        var throttled: Int64 = 0
        var refilled: Int64 = 0

        mutating func add(_ meter: FillMeter) {
            bytes += meter.receivedBytes
            peerBytes += meter.peerBytes
            wrongPeerBlocks += meter.wrongPeerBlocks
            requests += meter.requests
            retries += meter.retries
            throttled += meter.throttled
            refilled += meter.refilledFiles
        }

        mutating func add(_ node: SwarmFill) {
            servedBytes += node.servedBytes
            controlBytes += node.controlBytes
        }
    }
    private let state = Mutex(State())

    init(cached: CachedModel, source: String) {
        self.cached = cached
        self.source = source
        // Weak: the model outlives its place in the registry only as long as somebody reads.
        cached.onChange { [weak self] in self?.notify() }
    }

    // MARK: Fill

    /// Starts to fill, or hands a running fill the newer client.
    ///
    /// - Parameter peers: nil: from the store alone.
    func fill(
        client: StoreClient, pool: StagingPool, peers: PeerLink?, limits: FillLimits, prefetches: Bool, logger: Logger,
        ended: @escaping @Sendable () -> Void
    ) {
        let running: (any Fill)? = state.withLock { state in
            if let fill = state.fill { return fill }
            guard cached.files.contains(where: { $0.state != .complete }) else { return nil }
            let fill: any Fill
            if let peers {
                let node = SwarmFill(
                    model: cached, client: client, swarm: peers.swarm, peerEngine: peers.engine, limits: limits, prefetches: prefetches,
                    logger: logger)
                retire(&state)
                state.node = node
                fill = node
            } else {
                fill = ModelFill(model: cached, client: client, pool: pool, limits: limits, prefetches: prefetches, logger: logger)
            }
            state.fill = fill
            state.lastFailure = nil
            state.run = Task {
                await fill.run()
                self.fillEnded(fill)
                ended()
            }
            return nil
        }
        if let running { Task { await running.use(client) } }
    }

    /// Serves a model that is whole to other nodes, unless it is served already.
    func share(peers: PeerLink, limits: FillLimits, logger: Logger) {
        let node: SwarmFill? = state.withLock { state in
            guard state.node == nil, state.fill == nil, cached.files.allSatisfy({ $0.state == .complete }) else { return nil }
            let node = SwarmFill(
                model: cached, client: nil, swarm: peers.swarm, peerEngine: peers.engine, limits: limits, logger: logger)
            state.node = node
            return node
        }
        if let node { Task { await node.serve() } }
    }

    /// A former part in the swarm makes way; it has ended or does soon.
    private func retire(_ state: inout State) {
        guard let node = state.node else { return }
        state.pastCounters.add(node)
        state.node = nil
        Task { await node.close() }
    }

    private func fillEnded(_ fill: any Fill) {
        state.withLock { state in
            state.pastCounters.add(fill.meter)
            state.lastFailure = fill.failure
            state.fill = nil
            state.run = nil
        }
    }

    var isFilling: Bool { state.withLock { $0.fill != nil } }

    /// What ended the last fill early; nil while one runs.
    var fillFailure: FillFailure? { state.withLock { $0.fill?.failure ?? $0.lastFailure } }

    /// Bytes received from other nodes since this object was made.
    var peerBytes: Int64 { state.withLock { $0.pastCounters.peerBytes + ($0.fill?.meter.peerBytes ?? 0) } }

    /// Bytes received from the store since this object was made.
    var originBytes: Int64 { state.withLock { $0.pastCounters.bytes + ($0.fill?.meter.receivedBytes ?? 0) } }

    /// From now on, for the fill that runs.
    func limit(bytesPerSecond: Int64?) {
        guard let fill = state.withLock({ $0.fill ?? $0.node }) else { return }
        Task { await fill.limit(bytesPerSecond: bytesPerSecond) }
    }

    /// Waiting readers hear that nothing more comes.
    func failFilling(reason: String) {
        for file in cached.files where file.state == .filling { file.fail(reason: reason) }
    }

    /// Passes a reader's wait on to the fill.
    package func demand(file: UInt32, offset: UInt64, length: UInt64) {
        guard let fill = state.withLock({ $0.fill }) else { return }
        Task { await fill.demand(file: Int(file), offset: offset, length: length) }
    }

    /// Stops the fill and waits until nothing writes to the files any more.
    func stopFill() async {
        let (fill, run, node) = state.withLock { ($0.fill, $0.run, $0.node) }
        await fill?.stop()
        await run?.value
        await node?.close()
        state.withLock { state in
            guard let node, state.node === node else { return }
            state.pastCounters.add(node)
            state.node = nil
        }
    }

    // MARK: Notices

    package func subscribe(_ session: Session) {
        state.withLock { _ = $0.subscribers.insert(session) }
        // What changed before the subscription would otherwise not be told.
        session.send(.notice)
    }

    package func unsubscribe(_ session: Session) {
        state.withLock { _ = $0.subscribers.remove(session) }
    }

    private func notify() {
        for session in state.withLock({ $0.subscribers }) { session.send(.notice) }
    }

    // MARK: Status

    /// Nil: this node does not share the model.
    func swarmReport() async -> SwarmReport? { await state.withLock { $0.node }?.report() }

    package func status(now: Int64) -> ModelStatus {
        let (fill, node, past) = state.withLock { ($0.fill, $0.node, $0.pastCounters) }
        var counters = past
        if let node { counters.add(node) }
        if let meter = fill?.meter { counters.add(meter) }
        let statistics = cached.statistics
        let usage = cached.usage
        let failed = cached.files.first { $0.state == .failed }
        let missing = statistics.totalBytes - min(statistics.totalBytes, statistics.receivedBytes)
        let rate = fill?.meter.bytesPerSecond ?? 0
        return ModelStatus(
            id: cached.id, source: source, endpoint: cached.manifest.identity.endpoint, directory: cached.directory,
            phase: failed != nil ? .failed : statistics.completeFiles == statistics.files ? .complete : .filling,
            message: failed?.message, files: statistics.files, completeFiles: statistics.completeFiles,
            totalBytes: Int64(clamping: statistics.totalBytes), presentBytes: Int64(clamping: statistics.receivedBytes),
            bytesPerSecond: rate, remainingSeconds: missing > 0 && rate > 0 ? Double(missing) / rate : nil,
            originBytes: counters.bytes, peerBytes: counters.peerBytes, servedBytes: counters.servedBytes, controlBytes: counters.controlBytes,
            wrongPeerBlocks: counters.wrongPeerBlocks, wrongPeers: node?.faultyPeers, requests: counters.requests, retries: counters.retries,
            throttled: counters.throttled, refilledFiles: counters.refilled,
            transfersInFlight: fill?.meter.transfersInFlight ?? 0, users: usage.inUse, pinned: usage.pinned,
            idleSeconds: usage.inUse > 0 ? 0 : Double(max(0, now - usage.lastUsed)))
    }
}

/// What the agent's models need to load together with other nodes.
struct PeerLink: Sendable {
    let swarm: Swarm
    /// Receives from peers: it gives a dead one up within a second.
    let engine: TransferEngine
}
