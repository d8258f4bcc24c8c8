package import ChunkStore
internal import ObjectStore
package import Swarm
package import SwarmPlan

/// Decides about the fetches that a node's `SwarmPlanner` asks for: when each begins, rests and ends, what a failure
/// means, and when a file has failed. A pure value: events with their time in, actions out. ``SwarmFill`` carries them
/// out.
///
/// The planner chooses block and source. All else is as in a fill from the store alone (``FillMachine``): ``Fetch`` is
/// the life of a transfer, ``RetryLedger`` bounds failures, ``RateBucket`` the rate, ``RunningChecks`` the checks. The
/// queue for staging memory, which all fills of the agent share, says when a transfer may begin.
///
/// ```
/// queued ── granted ──▶ transferring ── arrived ──▶ arrived ── its digest is right ──▶ over
///   └─ replaced, waited ──▶ over  └─ failed, cancelled ──▶ over  └─ wrong, or nobody knows ──▶ over
/// ```
///
/// Invariants: of a block at most one fetch is queued and at most one other has a writer (transferring or arrived); the
/// planner hears of the end of each fetch that it did not cancel, once, unless the fill has stopped.
package struct SwarmFillMachine: Sendable {
    package typealias Instant = ContinuousClock.Instant
    package typealias TransferEnd = FillMachine.TransferEnd

    package enum Source: Sendable, Hashable {
        case store
        case peer(SwarmPeer)
    }

    /// Why a fetch could not begin.
    package enum Refusal: Sendable {
        /// Something else holds the block for a moment, or there are no credentials for the store.
        case notNow
        /// The block is here and shared.
        case isHere
        /// The block is here, but could not be read to be shared.
        case notShared
        case fileFailed
        /// The peer has no address any more.
        case peerIsGone
        case cache(ChunkStoreError)
    }

    /// The finding about a block that arrived.
    package enum Verdict: Sendable {
        /// Right, and in the file. `isFilesLast`: nothing is missing of its file any more.
        case accepted(isFilesLast: Bool)
        /// Nobody has said yet which digest is right.
        case unknown
        case corrupt
        case disputed
        case broken
        /// The file was begun anew meanwhile.
        case stale
    }

    package enum Event: Sendable {
        /// The planner wants a block.
        case asked(SwarmFetch, block: Int, from: Source, isUrgent: Bool)
        /// The planner does not want a fetch any more.
        case cancelled(SwarmFetch)
        /// The planner counts the peer's fetches as failed.
        case peerLeft(SwarmPeer)
        /// The staging queue lets one transfer begin.
        case granted(isForDemand: Bool)
        /// Another model's reader waits: so many prefetches may receive. Nil: it waits no more.
        case prefetchLimited(Int?)
        case didNotBegin(SwarmFetch, Refusal)
        /// - Parameter received: bytes of the block.
        case transferEnded(SwarmFetch, TransferEnd, received: UInt64)
        case judged(SwarmFetch, Verdict)
        /// Bytes of the block that came so far.
        case progressed([SwarmFetch: UInt64])
        /// A reader waits for these blocks, which are missing.
        case demanded([Int])
        /// A reader waits for this byte of a file, and for some before it.
        case awaited(file: Int, byte: UInt64)
        /// The file has the chunks that ``SwarmFillMachine/beginningNeeded(ofFile:)`` says.
        case beginningIsThere(file: Int)
        case layoutRead(file: Int, LayoutReading)
        /// These blocks are here, from another cache of this node.
        case copied(Range<Int>)
        /// All chunks of the file are there.
        case complete(file: Int)
        case fileChecked(Int, Result<Completion, ChunkStoreError>)
        case limited(bytesPerSecond: Int64?)
        /// - Parameters:
        ///   - isComplete: no file lacks anything, or those that do have failed.
        ///   - isAlone: no other node takes part.
        case tick(isComplete: Bool, isAlone: Bool)
        case stopped
    }

    package enum Action: Sendable {
        /// Take the block's writer with the grant at hand and ask the source. `transferEnded` follows, or `didNotBegin`
        /// at once.
        case begin(SwarmFetch, block: Int, from: Source, isUrgent: Bool)
        /// Nothing is to be done with the grant at hand.
        case returnGrant
        case cancel(SwarmFetch)
        /// Receive nothing of the transfer for now.
        case pause(SwarmFetch)
        case resume(SwarmFetch)
        /// The block is complete: hold its digest against the others'; `judged` follows.
        case judge(SwarmFetch)
        /// The fetch is over: let go of its writer. Its relayed bytes are void, unless the block was accepted.
        case forget(SwarmFetch)
        case tell(SwarmEvent)
        /// A reader will wait for these blocks; `demanded` follows with those that are missing.
        case want(Range<Int>)
        /// Read the layout from the file's first chunks; `layoutRead` follows.
        case readLayout(file: Int, chunks: Int)
        /// Tell the planner that the store is not to be asked for so long.
        case throttleStore(Duration)
        /// Nobody is asked for these blocks any more.
        case abandon(Range<Int>)
        /// Check and publish the file; `fileChecked` follows.
        case check(file: Int)
        /// Its digest is wrong: all of it is missing again, and the store alone is believed.
        case refill(file: Int, reason: String)
        /// The store's bytes are in doubt: as `refill`, but nothing was found wrong.
        case readAgain(file: Int)
        case failFile(Int, FillFailure, reason: String)
        /// Every file that lacks something fails.
        case failUnfinished(FillFailure, reason: String)
        case retried
        case throttled
    }

    enum Stage: Sendable, Hashable {
        /// Until the staging queue grants a transfer, and the block's former writer has ended.
        case queued(since: Instant)
        case transferring(Fetch)
        /// Complete, and its digest is not known to be right.
        case arrived(at: Instant)
    }

    struct Record: Sendable {
        let block: Int
        let source: Source
        let isUrgent: Bool
        var stage: Stage
        /// The planner has heard of its end.
        var isGivenUp = false
        var received: UInt64 = 0
        /// When bytes came last, or the transfer began.
        var lastByte: Instant
    }

    enum Phase: Sendable, Hashable { case filling, stopping }

    /// The planner may have a better source by then.
    static let longestQueued: Duration = .milliseconds(300)
    /// A block whose digest nobody asserts for so long is fetched again.
    static let longestJudged: Duration = .seconds(5)
    /// A demand without a byte for so long has no claim on the link.
    static let longestSilence: Duration = .milliseconds(500)
    /// Refusals by the store that concern every object, in a row: keys that are being renewed are waited for a little.
    static let mostFatalAnswers = 3

    let layout: BlockLayout
    let names: [String]
    let limits: FillLimits
    let prefetches: Bool
    let storeName: String
    var records: [SwarmFetch: Record] = [:]
    /// Of each block, the fetch that has its writer.
    var writers: [Int: SwarmFetch] = [:]
    /// In the order in which the planner asked.
    var queue: [SwarmFetch] = []
    /// Fetches of whose end the planner hears at the next tick, since it would ask again at once.
    var refused: [(id: SwarmFetch, source: Source)] = []
    /// Missing blocks that a reader waits for.
    var demanded: Set<Int> = []
    var ledger: RetryLedger<Int>
    var bucket: RateBucket
    var checks = RunningChecks()
    var layouts: LayoutBook
    /// Files that are not completed here, and whose blocks nobody is asked for.
    var failedFiles: Set<Int> = []
    /// Why every unfinished file failed.
    var ending: (failure: FillFailure, reason: String)?
    var phase = Phase.filling
    /// So many prefetches may receive while another model's reader waits.
    var othersLimit: Int?
    var demandHold: DemandHold
    /// Of the last look.
    var extent = DemandHold.Extent.none
    /// Bytes that came, repeated ones included.
    var receivedBytes: Int64 = 0
    var isAlone = false
    var fatalAnswers = 0
    var lastProgress: Instant
    var lastError: String?
    var actions: [Action] = []
    /// In 0..<1; a test repeats it.
    let draw: @Sendable () -> Double

    /// - Parameters:
    ///   - names: each file's key.
    ///   - prefetches: whether blocks that nobody waits for are wanted too.
    ///   - storeName: for messages.
    package init(
        layout: BlockLayout, names: [String], limits: FillLimits, prefetches: Bool, storeName: String, now: Instant,
        draw: @escaping @Sendable () -> Double = { .random(in: 0..<1) }
    ) {
        precondition(names.count == layout.fileSizes.count, "each file has its name")
        self.layout = layout
        self.names = names
        self.limits = limits
        self.prefetches = prefetches
        self.storeName = storeName
        self.draw = draw
        ledger = RetryLedger(storeBudget: limits.storeDeadline)
        bucket = RateBucket(bytesPerSecond: limits.bytesPerSecond, now: now)
        layouts = LayoutBook(chunkCounts: layout.chunkCounts, chunkBytes: layout.chunkBytes)
        demandHold = DemandHold(now: now)
        lastProgress = now
    }

    // MARK: Questions

    /// Whether nothing is under way.
    package var isQuiet: Bool { records.isEmpty && checks.isEmpty }
    package var isStopping: Bool { phase == .stopping }
    /// Whether no fetch waits for anything.
    package var hasNothingToDo: Bool { records.isEmpty && refused.isEmpty }
    package var transfersInFlight: Int { writers.count }

    /// The block's fetch that waits for somebody to say which digest is right.
    package func unjudged(block: Int) -> SwarmFetch? {
        guard let id = writers[block], case .arrived = records[id]?.stage else { return nil }
        return id
    }

    /// Whether the transfer is to end, as the engine was told.
    package func isCancelling(_ id: SwarmFetch) -> Bool {
        guard case .transferring(let fetch) = records[id]?.stage, case .cancelling = fetch.state else { return false }
        return true
    }

    /// The transfers that the staging queue is to be told of.
    package mutating func wants(now: Instant) -> StagingQueue.Wants {
        // A demand that brings nothing needs no link: others are not held for a peer that is stuck.
        let receiving = records.values.count {
            guard case .transferring(let fetch) = $0.stage, fetch.isReceiving, isWanted($0) else { return false }
            return $0.lastByte.duration(to: now) < Self.longestSilence
        }
        guard phase == .filling, bucket.isOpen(now: now) else { return StagingQueue.Wants(demandsUnderWay: receiving) }
        let free = queue.compactMap { records[$0] }.filter { writers[$0.block] == nil }
        let wanted = free.count { isWanted($0) }
        return StagingQueue.Wants(
            demands: wanted, prefetches: min(free.count - wanted, prefetchesToBegin), demandsUnderWay: receiving)
    }

    /// Whether a reader waits for it.
    func isWanted(_ record: Record) -> Bool { record.isUrgent || demanded.contains(record.block) }

    // MARK: Events

    package mutating func handle(_ event: Event, now: Instant) -> [Action] {
        switch event {
        case .asked(let id, let block, let source, let isUrgent): asked(id, block, source, isUrgent, now)
        case .cancelled(let id): giveUp(id)
        case .peerLeft(let peer):
            refused.removeAll { $0.source == .peer(peer) }
            for id in ids where records[id]?.source == .peer(peer) { giveUp(id) }
        case .granted(let isForDemand): granted(isForDemand, now)
        case .prefetchLimited(let limit):
            othersLimit = limit
            hold(now)
        case .didNotBegin(let id, let refusal): didNotBegin(id, refusal)
        case .transferEnded(let id, let end, let received): transferEnded(id, end, received, now)
        case .judged(let id, let verdict): judged(id, verdict, now)
        case .progressed(let all):
            for id in ids { if let bytes = all[id] { progressed(id, bytes, now) } }
        case .demanded(let blocks): demand(blocks, now)
        case .awaited(let file, let byte): awaited(file, byte)
        case .beginningIsThere(let file): readLayout(file)
        case .layoutRead(let file, let reading): layoutRead(file, reading)
        case .copied(let blocks):
            demanded.subtract(blocks)
            lastProgress = max(lastProgress, now)
        case .complete(let file): check(file)
        case .fileChecked(let file, let result): checked(file, result)
        case .limited(let rate): bucket.set(bytesPerSecond: rate, now: now)
        case .tick(let isComplete, let isAlone): tick(isComplete, isAlone, now)
        case .stopped: stop()
        }
        // While some prefetches go on, the end of one lets the next one go on.
        if extent != look(now) || (prefetchLimit ?? 0) > 0 { hold(now) }
        defer { actions = [] }
        return actions
    }

    /// Of all fetches, in the order in which the planner asked.
    var ids: [SwarmFetch] { records.keys.sorted { $0.number < $1.number } }

    // MARK: Begin

    private mutating func asked(_ id: SwarmFetch, _ block: Int, _ source: Source, _ isUrgent: Bool, _ now: Instant) {
        precondition(records[id] == nil, "the planner asks with a number once")
        guard phase == .filling else { return }
        let file = layout.file(of: block)
        if failedFiles.contains(file) { return actions.append(.abandon(blocks(ofFile: file))) }
        if let former = queue.first(where: { records[$0]?.block == block }) { refuse(former) }
        records[id] = Record(
            block: block, source: source, isUrgent: isUrgent, stage: .queued(since: now), lastByte: now)
        queue.append(id)
        // A second source for a block: the first has been too slow for this one, which is no reason to ban it.
        guard let former = writers[block], records[former]?.isGivenUp == false else { return }
        actions.append(.tell(.failed(former, .notBegun)))
        giveUp(former)
    }

    private mutating func granted(_ isForDemand: Bool, _ now: Instant) {
        guard phase == .filling, bucket.isOpen(now: now), let id = next(isForDemand), var record = records[id] else {
            return actions.append(.returnGrant)
        }
        queue.removeAll { $0 == id }
        writers[record.block] = id
        record.stage = .transferring(Fetch(now: now))
        record.lastByte = now
        records[id] = record
        bucket.take(layout.bytes(of: record.block))
        actions.append(.begin(id, block: record.block, from: record.source, isUrgent: record.isUrgent))
    }

    private func next(_ isForDemand: Bool) -> SwarmFetch? {
        let free = queue.filter { id in records[id].map { writers[$0.block] == nil } ?? false }
        if let wanted = free.first(where: { id in records[id].map(isWanted) ?? false }) { return wanted }
        // The grant may have been on its way when a hold began.
        return isForDemand || prefetchesToBegin == 0 ? nil : free.first
    }

    private mutating func didNotBegin(_ id: SwarmFetch, _ refusal: Refusal) {
        guard let record = records[id] else { preconditionFailure("a fetch that was not begun did not begin") }
        switch refusal {
        case .notNow: refuse(id)
        case .isHere:
            over(id)
            demanded.remove(record.block)
            actions.append(.tell(.received(id)))
        case .notShared:
            over(id)
            abandon(record.block..<record.block + 1)
        case .fileFailed:
            over(id)
            abandon(blocks(ofFile: layout.file(of: record.block)))
        case .peerIsGone:
            over(id)
            actions.append(.tell(.failed(id, .broken)))
        case .cache(let error):
            over(id)
            failAll(.cache(error), "\(error)")
        }
    }

    // MARK: Ends

    /// The fetch cannot go on now. The planner hears of it a little later.
    mutating func refuse(_ id: SwarmFetch) {
        if let record = records[id], !record.isGivenUp { refused.append((id, record.source)) }
        over(id)
    }

    /// The planner knows that the fetch ends.
    private mutating func giveUp(_ id: SwarmFetch) {
        refused.removeAll { $0.id == id }
        guard var record = records[id] else { return }
        record.isGivenUp = true
        records[id] = record
        end(id)
    }

    /// Ends the fetch; a transfer's end is awaited before the block's bytes are anybody else's.
    private mutating func end(_ id: SwarmFetch) {
        guard var record = records[id] else { return }
        guard case .transferring(var fetch) = record.stage else { return over(id) }
        if fetch.cancel(.unwanted) { actions.append(.cancel(id)) }
        record.stage = .transferring(fetch)
        records[id] = record
    }

    mutating func over(_ id: SwarmFetch) {
        guard let record = records.removeValue(forKey: id) else { preconditionFailure("a fetch is over once") }
        guard writers[record.block] == id else { return queue.removeAll { $0 == id } }
        writers[record.block] = nil
        actions.append(.forget(id))
    }

    /// The fetch is over without its block.
    mutating func fail(_ id: SwarmFetch, _ failure: SwarmFetchFailure) {
        let tells = records[id]?.isGivenUp == false
        over(id)
        if tells { actions.append(.tell(.failed(id, failure))) }
    }

    private mutating func transferEnded(_ id: SwarmFetch, _ end: TransferEnd, _ received: UInt64, _ now: Instant) {
        guard var record = records[id], case .transferring(let fetch) = record.stage else {
            preconditionFailure("a transfer ended that was not begun")
        }
        note(&record, received, now)
        records[id] = record
        switch end {
        case .arrived where phase == .filling:
            record.stage = .arrived(at: now)
            records[id] = record
            actions.append(.judge(id))
        case .arrived: over(id)
        case .cacheFailed(.stale): refuse(id)
        case .cacheFailed(let error):
            over(id)
            failAll(.cache(error), "\(error)")
        case .partyRefused(let error):
            lastError = "\(error)"
            actions.append(.retried)
            fail(id, .broken)
        case .failed(let error):
            if case .peer = record.source { ledger.came(record.block, to: received, now: now) }
            if case .cancelling = fetch.state { return fail(id, .broken) }
            lastError = "\(error)"
            switch record.source {
            case .store: storeFailed(id, record, error, now)
            case .peer: fail(id, error.status == 416 || error.status == 404 ? .notThere : .broken)
            }
        }
    }

    private mutating func storeFailed(_ id: SwarmFetch, _ record: Record, _ error: StoreError, _ now: Instant) {
        let file = layout.file(of: record.block)
        let fault = FetchFault(error)
        actions.append(.retried)
        if error.kind == .throttled { actions.append(.throttled) }
        switch fault {
        case .lostFile:
            over(id)
            return failFile(file, .store(error.kind), FillMachine.loss(of: names[file], error))
        case .lostSource:
            fatalAnswers += 1
            guard fatalAnswers < Self.mostFatalAnswers else {
                over(id)
                return failAll(.store(error.kind), "\(names[file]): \(error)")
            }
        case .broken, .wrongAnswer, .unavailable:
            let verdict = ledger.failed(
                record.block, position: record.received, fault: fault, asked: error.retryAfter, now: now, draw: draw())
            guard case .retry(let delay) = verdict else {
                over(id)
                return failFile(file, .store(error.kind), "\(names[file]): \(verdict.text): \(error)")
            }
            if fault == .unavailable { actions.append(.throttleStore(delay)) }
        }
        fail(id, .broken)
    }

    private mutating func judged(_ id: SwarmFetch, _ verdict: Verdict, _ now: Instant) {
        // The planner may have cancelled it meanwhile.
        guard let record = records[id], case .arrived = record.stage else { return }
        switch verdict {
        case .unknown: break
        case .accepted(let isFilesLast): accepted(id, record, isFilesLast, now)
        case .corrupt: fail(id, .corrupt)
        case .disputed: fail(id, .notThere)
        case .broken: fail(id, .broken)
        case .stale: refuse(id)
        }
    }

    private mutating func accepted(_ id: SwarmFetch, _ record: Record, _ isFilesLast: Bool, _ now: Instant) {
        if record.source == .store { fatalAnswers = 0 }
        over(id)
        ledger.received(record.block)
        demanded.remove(record.block)
        lastProgress = max(lastProgress, now)
        // The planner has forgotten a fetch that it gave up.
        actions.append(.tell(record.isGivenUp ? .held([record.block..<record.block + 1]) : .received(id)))
        if let other = queue.first(where: { records[$0]?.block == record.block }) { refuse(other) }
        if isFilesLast { check(layout.file(of: record.block)) }
    }

    mutating func stop() {
        guard phase == .filling else { return }
        phase = .stopping
        refused = []
        demanded = []
        for id in ids { giveUp(id) }
    }
}
