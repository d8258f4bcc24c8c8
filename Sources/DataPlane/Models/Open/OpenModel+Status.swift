package import AgentAPI
internal import ChunkStore
internal import ObjectStore
internal import Synchronization
package import Transfer

/// The model's progress, as readers, the operator and people are told.
extension OpenModel {
    package var isFilling: Bool { state.withLock { $0.fill != nil } }

    /// The failure that ended the last fill early; nil while one runs.
    package var fillFailure: FillFailure? { state.withLock { $0.fill?.failure ?? $0.lastFailure } }

    /// The code of the first file that failed; nil: none has.
    package var failureCode: AgentErrorCode? {
        guard let failed = cached.files.first(where: { $0.state == .failed }) else { return nil }
        return failed.failedForItsName ? .volumeFailed : AgentErrorCode(fillFailure)
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
        // Without a fill nothing comes, though it came a moment ago.
        let receipts = fill == nil ? [] : node?.receivedFromPeers(PeerTraffic.most) ?? []
        let rates = Dictionary(receipts.map { ($0.address, $0.bytesPerSecond) }, uniquingKeysWith: +)
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
            originBytesPerSecond: fill?.meter.storeBytesPerSecond(), peers: counters.traffic(rates),
            servedBytes: counters.servedBytes, controlBytes: counters.controlBytes,
            wrongPeerBlocks: counters.wrongPeerBlocks, wrongPeers: node?.faultyPeers, requests: counters.requests,
            retries: counters.retries,
            throttled: counters.throttled, refilledFiles: counters.refilled,
            transfersInFlight: fill?.meter.transfersInFlight ?? 0, users: usage.inUse, pinned: usage.pinned,
            idleSeconds: usage.inUse > 0 ? 0 : Double(max(0, now - usage.lastUsed)),
            warnings: warnings(isThrottled: missing > 0 && fill.map { $0.meter.throttled > 0 } == true))
    }
}
