/// Pauses that end, rates, deadlines and slow transfers: what only time tells.
extension FillMachine {
    /// Of transfers that ended, and how many of them it takes to judge the others by.
    private static let ratesToRemember = 32
    private static let ratesToJudge = 4

    mutating func tick(_ bytes: Int64, _ now: Instant) {
        // A window in which the fill was held back says nothing about the right number of transfers.
        controller.tick(totalBytes: bytes, inFlight: prefetchLimit == nil ? records.count : 0, now: now)
        demandHold.received(totalBytes: bytes, now: now)
        let exempt = exempt
        for id in records.keys.sorted() {
            guard var record = records[id], !rests(id, record, exempt: exempt) else { continue }
            if record.fetch.pauseEnded(received: record.progress.received, now: now) {
                records[id] = record
                actions.append(.send(id))
            }
        }
        hold(now)
        if phase == .filling { restartSlowTransfers(now) }
        watchDeadline(now)
    }

    mutating func progressed(_ id: ID, _ progress: Progress, _ now: Instant) {
        // The fetch may have ended since its progress was read.
        guard var record = records[id] else { return }
        note(&record, progress, now)
        records[id] = record
    }

    /// New bytes of this model are progress; bytes that came before are not.
    mutating func note(_ record: inout Record, _ progress: Progress, _ now: Instant) {
        let advanced = progress.position > record.progress.position
        if advanced { record.lastByte = now }
        if advanced, ledger.isNew(record.unit, position: progress.position) { lastProgress = max(lastProgress, now) }
        record.progress = progress
        record.nextChunk = max(record.nextChunk, min(Int(progress.position / chunkBytes), record.run.chunks.upperBound))
    }

    mutating func watchDeadline(_ now: Instant) {
        // A fill that waits for memory or its rate has asked for nothing that could have come.
        if othersLimit != nil || records.isEmpty { lastProgress = max(lastProgress, now) }
        guard phase == .filling, !records.isEmpty, lastProgress.duration(to: now) > limits.storeDeadline else { return }
        let cause = lastError.map { ": \($0)" } ?? ""
        let waited = limits.storeDeadline.components.seconds
        failAll(.noBytes, "no byte from \(endpoint) for \(waited) s\(cause); check the network and the store", now)
    }

    // MARK: Slow transfers

    mutating func remember(_ record: Record, _ now: Instant) {
        let seconds = max(0.001, record.fetch.startedAt.duration(to: now) / .seconds(1))
        rates.append(Double(record.progress.received - record.fetch.bytesAtStart) / seconds)
        if rates.count > Self.ratesToRemember { rates.removeFirst() }
    }

    /// Of the transfers that ended lately; nil while there are too few to tell.
    var medianRate: Double? { rates.count >= Self.ratesToJudge ? rates.sorted()[rates.count / 2] : nil }

    mutating func restartSlowTransfers(_ now: Instant) {
        guard let median = medianRate else { return }
        for id in records.keys.sorted() {
            guard var record = records[id], record.fetch.isReceiving else { continue }
            let age = record.fetch.startedAt.duration(to: now)
            let rate = Double(record.progress.received - record.fetch.bytesAtStart) / max(0.001, age / .seconds(1))
            guard
                slowness.shouldRestart(
                    bytesPerSecond: rate, medianBytesPerSecond: median, age: age, restarts: record.fetch.restarts)
            else { continue }
            _ = record.fetch.cancel(.slow)
            records[id] = record
            actions.append(.retried)
            actions.append(.cancel(id))
        }
    }
}
