internal import ChunkStore
internal import SwarmPlan

/// Waits that end, holds and the deadline: what only time tells.
extension SwarmFillMachine {
    mutating func tick(_ isComplete: Bool, _ isAlone: Bool, _ now: Instant) {
        self.isAlone = isAlone
        demandHold.received(totalBytes: receivedBytes, now: now)
        for fetch in refused { actions.append(.tell(.failed(fetch.id, .notBegun))) }
        refused = []
        for id in ids {
            switch records[id]?.stage {
            case .queued(let since) where since.duration(to: now) > Self.longestQueued: fail(id, .notBegun)
            case .arrived(let at) where at.duration(to: now) > Self.longestJudged: fail(id, .broken)
            default: break
            }
        }
        hold(now)
        watchDeadline(isComplete, now)
    }

    mutating func progressed(_ id: SwarmFetch, _ received: UInt64, _ now: Instant) {
        guard var record = records[id], case .transferring(let fetch) = record.stage, !record.isGivenUp else { return }
        let former = record.received
        note(&record, received, now)
        records[id] = record
        // A transfer that rests brings nothing, which is not its source's fault.
        if received > former || fetch.state == .held {
            actions.append(.tell(.progress(id, bytes: Int(received - min(former, received)))))
        }
    }

    /// New bytes of this model are progress; bytes of a block that came before are not.
    mutating func note(_ record: inout Record, _ received: UInt64, _ now: Instant) {
        guard received > record.received else { return }
        receivedBytes += Int64(received - record.received)
        record.received = received
        record.lastByte = now
        if ledger.isNew(record.block, position: received) { lastProgress = max(lastProgress, now) }
    }

    /// The cause for which readers wait now; nil: nobody waits for a block that is missing. Of several sources it is
    /// the one that most blocks come from.
    ///
    /// - Parameter copyIsAwaited: a reader waits for blocks that are copied.
    package mutating func demandWait(copyIsAwaited: Bool = false, now: Instant) -> DemandWait? {
        guard phase == .filling else { return nil }
        let wanted = records.filter { isWanted($0.value) }
        var fromStore = 0
        var fromPeers = 0
        for (id, record) in wanted where writers[record.block] == id {
            guard case .transferring = record.stage else { continue }
            if record.source == .store { fromStore += 1 } else { fromPeers += 1 }
        }
        if fromStore + fromPeers > 0 { return fromStore >= fromPeers ? .store : .peers }
        if wanted.contains(where: { writers[$0.value.block] == nil }) {
            return bucket.isOpen(now: now) ? .memory : .queue
        }
        if !wanted.isEmpty { return .check }
        if copyIsAwaited { return .copy }
        // The planner has not found a source for them, or waits for the node that reads them.
        return demanded.isEmpty ? nil : .peers
    }

    private mutating func watchDeadline(_ isComplete: Bool, _ now: Instant) {
        // Whether bytes should come: a fill that is held has asked for nothing.
        let isExpecting = othersLimit == nil && (!records.isEmpty || !isComplete && (prefetches || !demanded.isEmpty))
        if !isExpecting { lastProgress = max(lastProgress, now) }
        guard phase == .filling, lastProgress.duration(to: now) > limits.storeDeadline else { return }
        let cause = lastError.map { ": \($0)" } ?? ""
        let waited = limits.storeDeadline.components.seconds
        failAll(
            .noBytes, "no byte from \(storeName) nor from a peer for \(waited) s\(cause); check the network and the store"
        )
    }
}
