package import ChunkStore
internal import DequeModule
package import ObjectStore

/// Decides everything about one model's fill from the store: what is fetched, resumed, restarted, given up, and when
/// the fill is over. A pure value: events with their time in, actions out. ``ModelFill`` carries them out.
///
/// Parts: ``FillPlanner`` says which chunk is next, ``Fetch`` is the life of each range request, ``DemandHold`` how
/// much of the prefetch rests while a reader waits, ``RetryLedger`` bounds failures, ``ConcurrencyController`` the
/// number of transfers, ``RateBucket`` their rate. The queue for staging memory, which all fills of the agent share,
/// says when a transfer may begin (``Event/granted(isForDemand:)``).
///
/// Invariants: a chunk is in at most one fetch; a fetch has at most one transfer; each file is checked by one check at
/// a time, when nothing of it is in flight. After ``Action/end`` there is no fetch and no transfer.
package struct FillMachine: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package struct ID: Sendable, Hashable, Comparable {
        package let number: Int
        package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
    }

    /// How far a fetch is.
    package struct Progress: Sendable, Hashable {
        /// Bytes that came since the fetch began, repeated ones included.
        package var received: Int64
        /// Offset in the file of the next byte.
        package var position: UInt64

        package init(received: Int64, position: UInt64) {
            self.received = received
            self.position = position
        }
    }

    package enum TransferEnd: Sendable {
        case arrived
        case failed(StoreError)
        /// The store refused the party that asked, and another is in use now.
        case partyRefused(StoreError)
        case cacheFailed(ChunkStoreError)
    }

    package enum Event: Sendable {
        /// Numbers may be out of range: they come from another process.
        ///
        /// - Parameter last: the last byte of the file that the reader asks for; nil: not known so exactly.
        case demand(file: Int, chunks: Range<Int>, last: UInt64?)
        /// The beginning of a file was read.
        case layoutRead(file: Int, LayoutReading)
        /// The staging queue lets one transfer begin.
        case granted(isForDemand: Bool)
        /// Another model's reader waits: so many prefetches may receive. Nil: it waits no more.
        case prefetchLimited(Int?)
        case began(ID)
        /// The cache did not let the fetch begin; no error: its chunk is there, or its former writer is letting go of
        /// it.
        case didNotBegin(ID, receivedChunks: Int, ChunkStoreError?)
        case transferEnded(ID, TransferEnd, Progress, receivedChunks: Int)
        case progressed([ID: Progress])
        /// Nothing more of the file is copied; what was not was told as lost before.
        case copyEnded(file: Int)
        /// These chunks are missing; those that were there were found wrong.
        case lost([ChunkAddress], isAwaited: Bool)
        case fileChecked(Int, Result<Completion, ChunkStoreError>)
        case limited(bytesPerSecond: Int64?)
        case tick(receivedBytes: Int64)
        case stopped
    }

    package enum Action: Sendable, Hashable {
        /// Take the chunk's writer with the grant at hand; `began` or `didNotBegin` follows.
        case begin(ID, ChunkRun)
        /// Nothing is to be done with the grant at hand.
        case returnGrant
        /// Ask the store for the rest of the fetch; `transferEnded` follows.
        case send(ID)
        case cancel(ID)
        /// Receive nothing of the transfer for now.
        case pause(ID)
        case resume(ID)
        /// Read the layout from the file's first chunks, which are there; `layoutRead` follows.
        case readLayout(file: Int, chunks: Int)
        /// The fetch is over: let go of its writer.
        case forget(ID)
        /// Check and publish the file; `fileChecked` follows.
        case check(file: Int)
        case failFile(Int, FillFailure, reason: String)
        /// The store asks us to wait, or cannot be reached: for people.
        case wait(Duration, reason: String)
        case retried
        case throttled
        case refilled(file: Int, reason: String)
        case end
    }

    struct Record: Sendable {
        let run: ChunkRun
        var fetch: Fetch
        var progress: Progress
        /// First chunk that has not come.
        var nextChunk: Int
        /// The last chunk that a reader waits for.
        var demandedThrough: Int?
        /// When bytes came last, or the fetch began.
        var lastByte: Instant

        var isDemanded: Bool { demandedThrough.map { $0 >= nextChunk } ?? false }
        var unit: ChunkAddress { ChunkAddress(file: run.file, chunk: min(nextChunk, run.chunks.upperBound - 1)) }
    }

    enum Phase: Sendable, Hashable { case filling, stopping, ended }

    /// A wait up to this keeps the staging buffer and what has come of the chunk.
    private static let longestKeptPause: Duration = .seconds(1)
    /// Between two attempts at least: full jitter can draw zero.
    private static let shortestPause: Duration = .milliseconds(10)
    /// A demand without a byte for so long has no claim on the link.
    private static let longestSilence: Duration = .milliseconds(500)
    /// A wait of this length is told to people.
    private static let notedPause: Duration = .seconds(2)

    let names: [String]
    let chunkBytes: UInt64
    let limits: FillLimits
    let endpoint: String
    let slowness = SlowTransferPolicy()
    private let runLength = RunLength()
    var planner: FillPlanner
    var controller: ConcurrencyController
    var ledger: RetryLedger<ChunkAddress>
    var bucket: RateBucket
    var records: [ID: Record] = [:]
    private var lastID = 0
    var checks = RunningChecks()
    /// Files that are copied from other caches of this node. Their chunks count as present until they are told lost.
    var copying: Set<Int>
    /// None of their chunks is fetched, also of those that are lost later.
    var failedFiles: Set<Int> = []
    var phase = Phase.filling
    /// So many prefetches may receive while another model's reader waits.
    var othersLimit: Int?
    var demandHold: DemandHold
    /// Of the last look.
    var extent = DemandHold.Extent.none
    var layouts: LayoutBook
    /// Why every unfinished file failed.
    var ending: (failure: FillFailure, reason: String)?
    var rates = Deque<Double>()
    var lastProgress: Instant
    var lastError: String?
    var actions: [Action] = []
    /// In 0..<1; a test repeats it.
    private let draw: @Sendable () -> Double

    /// - Parameters:
    ///   - names: each file's key.
    ///   - endpoint: of the store, for messages.
    ///   - copying: files that others bring; ``Event/copyEnded(file:)`` follows for each.
    package init(
        names: [String], chunkCounts: [Int], chunkBytes: UInt64, limits: FillLimits, prefetches: Bool, endpoint: String,
        copying: Set<Int> = [], now: Instant, draw: @escaping @Sendable () -> Double = { .random(in: 0..<1) },
        isPresent: (ChunkAddress) -> Bool = { _ in false }
    ) {
        self.names = names
        self.chunkBytes = chunkBytes
        self.limits = limits
        self.endpoint = endpoint
        self.copying = copying
        self.draw = draw
        planner = FillPlanner(
            chunkCounts: chunkCounts, prefetches: prefetches,
            readAheadChunks: max(Self.leastReadAheadChunks, Int(Self.readAheadBytes / chunkBytes)),
            isPresent: { copying.contains($0.file) || isPresent($0) })
        demandHold = DemandHold(now: now)
        layouts = LayoutBook(chunkCounts: chunkCounts, chunkBytes: chunkBytes)
        controller = ConcurrencyController(
            initial: limits.initialTransfers, maximum: limits.maximumTransfers, now: now)
        ledger = RetryLedger(storeBudget: limits.storeDeadline)
        bucket = RateBucket(bytesPerSecond: limits.bytesPerSecond, now: now)
        lastProgress = now
    }

    /// The first actions.
    ///
    /// - Parameters:
    ///   - unfinished: files that are neither published nor failed.
    ///   - missing: chunks that are missing now, those that were lost since the machine was made among them.
    package mutating func start(unfinished: Set<Int>, missing: [ChunkAddress] = []) -> [Action] {
        for address in missing { planner.lost(address) }
        for file in names.indices {
            if !unfinished.contains(file) {
                planner.abandon(file: file)
            } else if planner.missingChunks(ofFile: file) == 0 {
                check(file)
            } else {
                lookForLayout(file)
            }
        }
        endIfOver()
        return taken()
    }

    // MARK: Questions

    package var hasEnded: Bool { phase == .ended }
    package var transfersInFlight: Int { records.count }

    /// The transfers that the staging queue is to be told of.
    package mutating func wants(now: Instant) -> StagingQueue.Wants {
        let underWay = records.values.count { $0.isDemanded }
        // A demand that brings nothing needs no link: others are not held for a store that is away.
        let receiving = records.values.count {
            $0.isDemanded && $0.fetch.isReceiving && $0.lastByte.duration(to: now) < Self.longestSilence
        }
        guard phase == .filling, bucket.isOpen(now: now) else { return StagingQueue.Wants(demandsUnderWay: receiving) }
        let ready = planner.ready(now: now)
        let predictions = mayPredict ? min(1, ready.predictions) : 0
        return StagingQueue.Wants(
            demands: min(ready.demands + predictions, max(0, controller.limit - underWay)),
            prefetches: min(ready.others, prefetchesToBegin), demandsUnderWay: receiving)
    }

    // MARK: Events

    package mutating func handle(_ event: Event, now: Instant) -> [Action] {
        precondition(phase != .ended, "nothing happens after the end")
        switch event {
        case .demand(let file, let chunks, let last): demanded(file, chunks, last, now)
        case .layoutRead(let file, let reading): layoutRead(file, reading)
        case .granted(let isForDemand): granted(isForDemand, now)
        case .prefetchLimited(let limit):
            othersLimit = limit
            hold(now)
        case .began(let id): actions.append(.send(id))
        case .didNotBegin(let id, let received, let error): didNotBegin(id, received, error, now)
        case .transferEnded(let id, let end, let progress, let chunks):
            transferEnded(id, end, progress, chunks, now)
        case .progressed(let all): for (id, progress) in all { progressed(id, progress, now) }
        case .fileChecked(let file, let result): checked(file, result, now)
        case .lost(let all, let isAwaited):
            let addresses = all.filter { !failedFiles.contains($0.file) }
            // The planner hands out the last one first, and a fetch goes on with those that follow.
            for address in addresses.reversed() { planner.lost(address) }
            for address in addresses where isAwaited {
                demanded(address.file, address.chunk..<address.chunk + 1, nil, now)
            }
        case .copyEnded(let file): copyEnded(file, now)
        case .limited(let rate): bucket.set(bytesPerSecond: rate, now: now)
        case .tick(let bytes): tick(bytes, now)
        case .stopped:
            copying = []
            stop(now)
        }
        // While some prefetches go on, the end of one lets the next one go on.
        if extent != look(now) || (prefetchLimit ?? 0) > 0 { hold(now) }
        endIfOver()
        return taken()
    }

    private mutating func taken() -> [Action] {
        defer { actions = [] }
        return actions
    }

    private mutating func endIfOver() {
        guard records.isEmpty, checks.isEmpty, copying.isEmpty, phase == .stopping || planner.isComplete else { return }
        phase = .ended
        actions.append(.end)
    }

    // MARK: Begin

    private mutating func granted(_ isForDemand: Bool, _ now: Instant) {
        guard phase == .filling, let run = nextRun(isForDemand, now) else { return actions.append(.returnGrant) }
        lastID += 1
        let id = ID(number: lastID)
        let start = UInt64(run.chunks.lowerBound) * chunkBytes
        records[id] = Record(
            run: run, fetch: Fetch(now: now), progress: Progress(received: 0, position: start),
            nextChunk: run.chunks.lowerBound, demandedThrough: planner.lastWanted(in: run), lastByte: now)
        bucket.take(UInt64(run.chunks.count) * chunkBytes)
        actions.append(.begin(id, run))
    }

    private mutating func nextRun(_ isForDemand: Bool, _ now: Instant) -> ChunkRun? {
        // The grant may have been on its way when a hold began or the limit fell.
        let mayPrefetch = prefetchesToBegin > 0
        guard bucket.isOpen(now: now) else { return nil }
        let length = runLength.chunks(
            chunkBytes: chunkBytes, medianBytesPerSecond: medianRate, missingChunks: planner.missing,
            transfers: controller.limit, isLimited: bucket.bytesPerSecond != nil)
        let least: FillPlanner.Kind = !isForDemand && mayPrefetch ? .any : mayPredict ? .prediction : .demand
        return planner.next(now: now, upTo: length, least: least)
    }

    private mutating func didNotBegin(_ id: ID, _ received: Int, _ error: ChunkStoreError?, _ now: Instant) {
        over(id, received: received, retryAt: now + Self.shortestPause)
        if let error { failAll(.cache(error), "\(error)", now) }
    }

    // MARK: Ends

    private mutating func transferEnded(
        _ id: ID, _ end: TransferEnd, _ progress: Progress, _ chunks: Int, _ now: Instant
    ) {
        guard var record = records[id] else { preconditionFailure("a transfer ended that was not begun") }
        precondition(record.fetch.hasTransfer, "a transfer ends once")
        note(&record, progress, now)
        record.nextChunk = record.run.chunks.lowerBound + chunks
        records[id] = record
        switch end {
        // Also where the engine found fault with what followed the last byte.
        case _ where chunks == record.run.chunks.count, .arrived:
            // Alone on the link a transfer is faster than those beside it will be.
            if prefetchLimit == nil { remember(record, now) }
            over(id, received: record.run.chunks.count, retryAt: now)
        case .cacheFailed(let error): cacheFailed(id, error, chunks, now)
        case .partyRefused(let error):
            lastError = "\(error)"
            actions.append(.retried)
            over(id, received: chunks, retryAt: now + Self.shortestPause)
        case .failed(let error):
            if case .cancelling = record.fetch.state {
                cancelled(id, chunks, now)
            } else {
                storeFailed(id, error, chunks, now)
            }
        }
    }

    private mutating func cancelled(_ id: ID, _ chunks: Int, _ now: Instant) {
        guard var record = records[id] else { return }
        let next = record.fetch.cancellationEnded(
            rests: rests(id, record, exempt: exempt), received: record.progress.received, now: now)
        records[id] = record
        switch next {
        case .begins: actions.append(.send(id))
        case .waits: break
        case .over: over(id, received: chunks, retryAt: now, hasEnded: true)
        }
    }

    private mutating func cacheFailed(_ id: ID, _ error: ChunkStoreError, _ chunks: Int, _ now: Instant) {
        over(id, received: chunks, retryAt: now + Self.shortestPause)
        switch error {
        // Another writer had the chunk for a moment, or the file was begun anew meanwhile.
        case .stale, .chunkReceived, .chunkBusy: break
        default: failAll(.cache(error), "\(error)", now)
        }
    }

    private mutating func storeFailed(_ id: ID, _ error: StoreError, _ chunks: Int, _ now: Instant) {
        guard let record = records[id] else { return }
        let fault = FetchFault(error)
        let name = names[record.run.file]
        lastError = "\(error)"
        actions.append(.retried)
        if error.kind == .throttled {
            actions.append(.throttled)
            controller.throttled(now: now)
        }
        switch fault {
        case .lostFile:
            over(id, received: chunks, retryAt: now)
            fail(record.run.file, .store(error.kind), Self.loss(of: name, error), now)
        case .lostSource:
            over(id, received: chunks, retryAt: now)
            failAll(.store(error.kind), "\(name): \(error)", now)
        case .broken, .wrongAnswer, .unavailable:
            let verdict = ledger.failed(
                record.unit, position: record.progress.position, fault: fault, asked: error.retryAfter, now: now,
                draw: draw())
            retry(id, verdict, error, chunks, now)
        }
    }

    private mutating func retry(
        _ id: ID, _ verdict: RetryLedger<ChunkAddress>.Verdict, _ error: StoreError, _ chunks: Int, _ now: Instant
    ) {
        guard let record = records[id] else { return }
        switch verdict {
        case .exhausted:
            over(id, received: chunks, retryAt: now)
            let asked = error.retryAfter.map { "; the store asks to wait \($0.components.seconds) s" } ?? ""
            fail(
                record.run.file, .store(error.kind),
                "\(names[record.run.file]): \(verdict.text)\(asked): \(error)", now)
        case .retry(let delay):
            if delay >= Self.notedPause { actions.append(.wait(delay, reason: "\(names[record.run.file]): \(error)")) }
            let due = now + max(delay, Self.shortestPause)
            // A long wait gives the staging buffer back; a short one keeps what has come.
            if delay > Self.longestKeptPause { return over(id, received: chunks, retryAt: due) }
            records[id]?.fetch.failed(retryAt: due)
        }
    }

    static func loss(of name: String, _ error: StoreError) -> String {
        switch error.kind {
        case .objectChanged, .noSuchKey:
            "\(name) was replaced or deleted at the store while it was being loaded; "
                + "start again to load the new version (\(error))"
        default: "\(name): \(error)"
        }
    }

    /// The fetch is over with so many of its chunks.
    private mutating func over(_ id: ID, received: Int, retryAt: Instant, hasEnded: Bool = false) {
        guard var record = records.removeValue(forKey: id) else { preconditionFailure("a fetch is over once") }
        if !hasEnded { record.fetch.ended() }
        actions.append(.forget(id))
        settle(record.run, received: received, retryAt: retryAt)
    }

    private mutating func settle(_ run: ChunkRun, received: Int, retryAt: Instant) {
        for (index, address) in run.addresses.enumerated() {
            guard index < received else {
                planner.failed(address, retryAt: retryAt)
                continue
            }
            ledger.received(address)
            if planner.arrived(address) { check(address.file) }
        }
        if received > 0 { lookForLayout(run.file) }
    }

    mutating func drop(_ id: ID, _ now: Instant) {
        guard var record = records[id] else { return }
        let hadTransfer = record.fetch.hasTransfer
        let tells = record.fetch.cancel(.unwanted)
        records[id] = record
        if tells { actions.append(.cancel(id)) }
        if hadTransfer { return }
        over(id, received: record.nextChunk - record.run.chunks.lowerBound, retryAt: now, hasEnded: true)
    }

    mutating func stop(_ now: Instant) {
        // A second stop, or one after a failure, changes nothing.
        guard phase == .filling else { return }
        phase = .stopping
        for id in records.keys.sorted() { drop(id, now) }
    }
}
