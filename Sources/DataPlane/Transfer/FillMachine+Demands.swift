/// The effect of a demand on the fetches under way, and of a file's layout on demands.
extension FillMachine {
    /// A reader that jumped somewhere most likely goes on from there so far.
    static let readAheadBytes: UInt64 = 32 << 20
    static let leastReadAheadChunks = 8
    /// Predicted chunks that were not begun.
    static let mostPredictedBytes: UInt64 = 256 << 20
    /// Predicted chunks are begun while what readers wait for takes the link less than this.
    private static let urgentTime: Duration = .milliseconds(100)

    // MARK: Demands

    mutating func demanded(_ file: Int, _ chunks: Range<Int>, _ last: UInt64?, _ now: Instant) {
        var new = planner.demand(file: file, chunks: chunks)
        var touched: Set<Int> = [file]
        if let last, names.indices.contains(file) {
            for slice in layouts.slices(ofFile: file, at: last) {
                new += predict(slice)
                touched.insert(slice.file)
            }
        }
        demandHold.demanded(bytes: UInt64(new) * chunkBytes, now: now)
        for (id, record) in records where touched.contains(record.run.file) {
            records[id]?.demandedThrough = planner.lastWanted(in: record.run)
        }
        hold(now)
    }

    /// Returns how many chunks of it are to come before all else.
    private mutating func predict(_ slice: ExpertIndex.Slice) -> Int {
        let waiting = UInt64(planner.predictions) * chunkBytes
        guard !slice.range.isEmpty, waiting + UInt64(slice.range.count) <= Self.mostPredictedBytes else { return 0 }
        let first = Int(slice.range.lowerBound / chunkBytes)
        return planner.predict(file: slice.file, chunks: first..<Int((slice.range.upperBound - 1) / chunkBytes) + 1)
    }

    /// Whether the link has time for what a reader will wait for, beside what one waits for.
    var mayPredict: Bool {
        let chunks = records.values.reduce(0) { sum, record in
            sum + (record.demandedThrough.map { max(0, $0 + 1 - record.nextChunk) } ?? 0)
        }
        let bytes = demandHold.bytesPerSecond * (Self.urgentTime / .seconds(1))
        return Double(chunks) * Double(chunkBytes) < max(Double(2 * chunkBytes), bytes)
    }

    /// How many fetches may begin that nobody waits for.
    var prefetchesToBegin: Int {
        let free = max(0, controller.limit - records.count)
        guard let limit = prefetchLimit else { return free }
        return min(free, max(0, limit - prefetching.count))
    }

    /// So many prefetches may receive while readers wait, of this model or another; nil: all.
    var prefetchLimit: Int? { extent.limit(with: othersLimit) }

    /// Fetches that nobody waits for, the eldest first.
    private var prefetching: [ID] {
        records.filter { !$0.value.isDemanded && $0.value.fetch.hasTransfer }.keys.sorted()
    }

    /// The prefetches that go on while others rest; nil: all.
    var exempt: Set<ID>? { prefetchLimit.map { Set(prefetching.prefix($0)) } }

    /// The cause for which readers wait now; nil: nobody waits for a chunk that is missing.
    ///
    /// - Parameter copyIsAwaited: a reader waits for chunks that are copied.
    package mutating func demandWait(copyIsAwaited: Bool = false, now: Instant) -> DemandWait? {
        guard phase == .filling else { return nil }
        guard planner.hasDemands else { return copyIsAwaited ? .copy : nil }
        let underWay = records.values.count { $0.isDemanded }
        if underWay > 0 { return .store }
        // Those that failed are not ready before their pause is over.
        guard planner.ready(now: now).demands > 0 else { return .store }
        return bucket.isOpen(now: now) && controller.limit > underWay ? .memory : .queue
    }

    // MARK: Holds

    /// How much of the prefetch rests now for this model's own readers.
    mutating func look(_ now: Instant) -> DemandHold.Extent {
        let ready = planner.ready(now: now)
        let isWaiting = ready.demands + ready.predictions > 0 || records.values.contains { $0.isDemanded }
        return demandHold.extent(isWaiting: isWaiting, now: now)
    }

    /// Whether the fetch is to receive nothing, since a reader waits for something else.
    func rests(_ id: ID, _ record: Record, exempt: Set<ID>?) -> Bool {
        if record.isDemanded { return false }
        return exempt.map { !$0.contains(id) } ?? false
    }

    mutating func hold(_ now: Instant) {
        extent = look(now)
        let exempt = exempt
        for id in records.keys.sorted() {
            guard var record = records[id] else { continue }
            if rests(id, record, exempt: exempt) {
                guard record.fetch.hold() else { continue }
                actions.append(.pause(id))
            } else {
                guard record.fetch.released(received: record.progress.received, now: now) else { continue }
                actions.append(.resume(id))
            }
            records[id] = record
        }
    }

    // MARK: Layouts

    /// Lets the layout be read once enough of the file is there.
    mutating func lookForLayout(_ file: Int) {
        guard !copying.contains(file), let chunks = layouts.needs(ofFile: file),
            planner.hasBeginning(ofFile: file, chunks: chunks)
        else { return }
        layouts.reads(file)
        actions.append(.readLayout(file: file, chunks: chunks))
    }

    mutating func layoutRead(_ file: Int, _ reading: LayoutReading) {
        switch layouts.read(file, reading) {
        case .none: break
        case .layout(let layout):
            planner.learn(
                layout.uses(chunkCount: planner.chunkCount(ofFile: file), chunkBytes: chunkBytes), file: file)
        case .needs(let chunks):
            if planner.prefetches { planner.predict(file: file, chunks: 0..<chunks) }
            lookForLayout(file)
        }
    }
}
