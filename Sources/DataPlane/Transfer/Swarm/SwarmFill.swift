public import ChunkStore
internal import DequeModule
internal import Foundation
public import Logging
public import ObjectStore
public import RangeTransfer
public import Swarm
internal import SwarmPlan
internal import Synchronization

/// Fills one model together with the other nodes that load it, and serves it to them: carries out what a
/// `SwarmPlanner` and a ``SwarmFillMachine`` decide.
///
/// The bytes never pass through this actor: engine threads put them at their place (``FetchSink``). Here blocks are
/// checked against their digests and made visible chunk by chunk.
///
/// Guarantees: what a peer sent becomes visible only when its digest is the one that whoever read the store announced;
/// the whole file's digest still decides publication. When ``run()`` returns, every file is published or failed; the
/// model is served on until ``close()``.
public actor SwarmFill: Fill {
    /// A fetch that has its block's writer.
    struct Part {
        let block: Int
        let place: BlockLayout.Place
        let writer: BlockWriter
        let sink: FetchSink
        let arrival: Arrival
        /// Nil: the store.
        let peer: SwarmPeer?
        let isUrgent: Bool
        /// Nil before the first request, and once it has ended.
        var transfer: (any RunningTransfer)?
        /// The number of the party as which the store was asked.
        var party: Int?
    }
    enum Message: Sendable {
        case input(ModelSwarm.Input)
        case ended(SwarmFetch, Result<Void, StoreError>)
        case checked(Int, Result<Completion, ChunkStoreError>)
        case lost(LostChunk)
        case copy(LocalCopy.Event)
        case takenUp(ChunkAddress, ChunkCheck)
        case rest(LocalCopy.Event)
        case layoutRead(Int, LayoutReading)
        case staging(StagingPool.Event)
        case tick
    }
    /// Events for the two values, in order: those that actions cause come after them.
    enum Work {
        case plan(SwarmEvent)
        case fetches(SwarmFillMachine.Event)
    }

    let model: CachedModel
    /// The files that are filled and shared.
    let set: FileSet
    let shared: SharedModel
    let swarm: Swarm
    let peerEngine: TransferEngine
    let pool: StagingPool
    let logger: Logger
    /// Nil: every file comes from store and peers.
    let copy: LocalCopy?
    /// None while the model is only served: they have callers' credentials.
    var parties: StoreParties
    var net: ModelSwarm?
    var planner: SwarmPlanner
    var machine: SwarmFillMachine
    var parts: [SwarmFetch: Part] = [:]
    var assemblies: [ChunkAddress: ChunkAssembly] = [:]
    /// Files that neither store nor peers gave, and that the copy may bring after all.
    var left: [Int: (kind: FillFailure, reason: String)] = [:]
    /// Of the files in `left`, and those of them that have not ended.
    var rest: LocalCopy?
    var restFiles: Set<Int> = []
    var hasTriedRest = false
    var book = DigestBook()
    var takeUp = TakeUp()
    /// The blocks that each connected peer has announced.
    var announced: [SwarmPeer: BlockSet] = [:]
    var work = Deque<Work>()
    var isWorking = false
    var nextTick: SwarmInstant = .max
    var hasStarted = false
    /// The fill is over, and the model is only served.
    var hasRun = false
    var isStopRequested = false
    var isClosed = false
    var earlyDemands: [Range<Int>] = []
    var early: [ModelSwarm.Input] = []
    var share: StagingShare?
    /// The grant that is being dealt with.
    var grant: StagingGrant?
    let mailbox = Mailbox<Message>()
    /// Of the checks of chunks and complete files.
    let checking = WorkStop()
    /// Puts a tick into the mailbox, and when.
    var alarm: Task<Void, any Error>?
    var alarmRings: SwarmInstant = .max
    var tasks: [Task<Void, Never>] = []
    /// Those who wait until ``isDone`` or until nothing is under way.
    var waiters: [CheckedContinuation<Void, Never>] = []
    let origin = ContinuousClock.now
    nonisolated let cause = Mutex<FillFailure?>(nil)
    nonisolated let faults = Mutex<[String: Int64]>([:])
    /// Of blocks that were accepted.
    nonisolated let receipts = Mutex(PeerReceipts())

    public nonisolated let meter = FillMeter()
    public nonisolated var failure: FillFailure? { cause.withLock { $0 } }
    /// Bytes that this node sent to others.
    public nonisolated var servedBytes: Int64 { shared.servedBytes }
    /// Bytes of the messages that this node sent to others about who holds what.
    public nonisolated var controlBytes: Int64 { shared.controlBytes }
    /// Peers that sent wrong bytes or asserted wrong digests, by address, with how often.
    public nonisolated var faultyPeers: [String: Int64] { faults.withLock { $0 } }
    /// The peers that gave the most bytes, at most `count`.
    public nonisolated func receivedFromPeers(_ count: Int) -> [PeerReceipt] {
        receipts.withLock { $0.first(count, now: .now) }
    }

    /// - Parameter donors: files of other caches, by the ``CachedFile/fileIndex`` of those that they are copied to.
    public init(
        model: CachedModel, client: StoreClient?, swarm: Swarm, peerEngine: TransferEngine, pool: StagingPool,
        limits: FillLimits, prefetches: Bool = true, donors: [UInt32: CachedFile] = [:], logger: Logger
    ) {
        self.init(
            model: model, source: client.map { StoreSource(client: $0) }, swarm: swarm, peerEngine: peerEngine,
            pool: pool, limits: limits, prefetches: prefetches, donors: donors, logger: logger)
    }

    /// From any source; tests put their own in the store's place.
    package init(
        model: CachedModel, source: (any RangeSource)?, swarm: Swarm, peerEngine: TransferEngine, pool: StagingPool,
        limits: FillLimits, prefetches: Bool = true, donors: [UInt32: CachedFile] = [:], pace: CopyPace = CopyPace(),
        logger: Logger
    ) {
        self.model = model
        parties = StoreParties(source)
        self.pool = pool
        self.swarm = swarm
        self.peerEngine = peerEngine
        self.logger = logger
        shared = SharedModel(model)
        set = shared.set
        copy = LocalCopy(
            set, from: donors, pace: prefetches ? pace : nil, blockBytes: shared.layout.blockBytes, meter: meter,
            logger: logger, model: model)
        var configuration = SwarmPlannerConfiguration(
            me: SwarmPeer(0), blockCount: shared.layout.count, blockBytes: Int(shared.layout.blockBytes),
            seed: .random(in: .min ... .max))
        configuration.order = shared.layout.readingOrder
        configuration.prefetches = prefetches
        planner = SwarmPlanner(configuration)
        machine = SwarmFillMachine(
            layout: shared.layout, names: set.files.map(\.key), limits: limits, prefetches: prefetches,
            storeName: source?.name ?? "the store", now: .now)
        shared.limitUploads(bytesPerSecond: limits.bytesPerSecond)
    }

    // MARK: Requests

    public func demand(file: Int, offset: UInt64, length: UInt64) {
        guard let file = UInt32(exactly: file).flatMap({ set.position(ofFileIndex: $0) }), length > 0 else { return }
        let size = shared.layout.fileSizes[file]
        guard offset < size else { return }
        let end = offset.addingReportingOverflow(length)
        let last = (end.overflow ? size : min(size, end.partialValue)) - 1
        let chunkBytes = shared.layout.chunkBytes
        let chunks = Int(offset / chunkBytes)..<Int(last / chunkBytes) + 1
        copy?.demand(file: file, chunks: chunks)
        rest?.demand(file: file, chunks: chunks)
        guard !machine.isStopping else { return }
        want(shared.layout.chunkBlocks(file: file, bytes: offset..<last + 1))
        hand(.fetches(.awaited(file: file, byte: last)))
        tell()
    }

    public func use(_ client: StoreClient) { use(StoreSource(client: client)) }

    package func use(_ source: any RangeSource) { if !hasRun { parties.offer(source) } }

    public func limit(bytesPerSecond: Int64?) {
        hand(.fetches(.limited(bytesPerSecond: bytesPerSecond)))
        shared.limitUploads(bytesPerSecond: bytesPerSecond)
    }

    public func stop() {
        hand(.fetches(.stopped))
        // After it: a check that is stopped is no failure of its file then.
        checking.stop()
        copy?.stop()
        isStopRequested = true
        rest?.stop()
        wake()
    }

    /// Ends everything, and waits until nothing writes to the files any more. The model is no longer served.
    public func close() async {
        stop()
        while !machine.isQuiet { await withCheckedContinuation { waiters.append($0) } }
        await copy?.finished()
        await rest?.finished()
        guard !isClosed else { return }
        isClosed = true
        // The loop ends by itself, at its next message.
        mailbox.put(.tick)
        for task in tasks { task.cancel() }
        alarm?.cancel()
        share?.leave()
        if let net { swarm.leave(net) }
        for assembly in assemblies.values { assembly.abort() }
        assemblies = [:]
        meter.ended()
        wake()
    }

    // MARK: The run

    public func run() async {
        launch()
        while !isDone { await withCheckedContinuation { waiters.append($0) } }
        await copyRest()
        // A chunk that is lost later is another fill's, with the credentials of its time.
        parties.forget()
        hasRun = true
        meter.ended()
        // A fill that failed gives way to a new one; what is whole is served on.
        if machine.isStopping { await close() }
    }

    /// Serves a model that is whole already.
    public func serve() { launch() }

    private var isDone: Bool {
        machine.isQuiet && (machine.isStopping || set.files.indices.allSatisfy { !isExpected($0) })
    }

    private func isExpected(_ file: Int) -> Bool { set.files[file].state == .filling && left[file] == nil }

    private func wake() {
        guard !waiters.isEmpty, machine.isQuiet else { return }
        for waiter in waiters { waiter.resume() }
        waiters = []
    }

    private func launch() {
        guard net == nil, !machine.isStopping else { return }
        // Before the look at what is here: a chunk is seen as missing, or told as lost after it.
        let losses = model.lostChunks()
        takeUpReceived()
        let net = swarm.join(shared)
        self.net = net
        share = pool.join { [mailbox] in mailbox.put(.staging($0)) }
        tasks.append(
            Task { [mailbox] in
                for await chunk in losses { mailbox.put(.lost(chunk)) }
            })
        let held = shared.heldRanges
        if !held.isEmpty { hand(.plan(.held(held))) }
        beginCopy()
        for (place, file) in set.files.enumerated()
        where file.state == .filling && file.receivedChunks == file.chunkCount {
            hand(.fetches(.complete(file: place)))
        }
        for file in set.files.indices { lookForLayout(file) }
        checkNextReceived()
        tasks.append(
            Task { [mailbox] in
                for await input in net.inputs { mailbox.put(.input(input)) }
            })
        tasks.append(Task { [weak self] in await self?.loop() })
    }

    /// Takes the messages of engines, peers, checks and the clock, in order. Until ``close()``.
    private func loop() async {
        while !isClosed {
            arm()
            tell()
            for message in await mailbox.take() { receive(message) }
            wake()
        }
        mailbox.close()
    }

    private func receive(_ message: Message) {
        switch message {
        case .input(let input): take(input)
        case .ended(let fetch, let result): ended(fetch, result)
        case .checked(let file, let result): checked(file, result)
        case .lost(let chunk): lost(chunk)
        case .copy(let event): copied(event)
        case .takenUp(let chunk, let check): takenUp(chunk, check)
        case .rest(let event):
            copied(event)
            if case .ended(let file) = event { restFiles.remove(file) }
        case .layoutRead(let file, let reading):
            hand(.fetches(.layoutRead(file: file, reading)))
            lookForLayout(file)
        case .staging(.granted(let grant)):
            guard !isClosed else { return }
            self.grant = grant
            hand(.fetches(.granted(isForDemand: grant.isForDemand)))
            self.grant = nil
        case .staging(.holdChanged): hand(.fetches(.prefetchLimited(share?.prefetchLimit)))
        case .tick:
            alarmRings = .max
            look()
        }
    }

    /// Tells the staging queue the transfers that the fill wants now.
    private func tell() {
        guard let share, !isClosed else { return }
        let now = ContinuousClock.now
        let wants = machine.wants(now: now)
        share.update(
            demands: wants.demands, prefetches: wants.prefetches, demandsUnderWay: wants.demandsUnderWay, now: now)
    }

    /// Sets the alarm for the planner's next tick and for what only time tells, unless it rings before.
    private func arm() {
        let now = instant
        let longest: SwarmNanoseconds = .milliseconds(machine.hasNothingToDo ? 300 : 90)
        let wait: SwarmNanoseconds = max(.milliseconds(1), nextTick > now ? min(nextTick - now, longest) : 0)
        guard now + wait < alarmRings else { return }
        alarmRings = now + wait
        alarm?.cancel()
        alarm = Task { [mailbox] in
            try await Task.sleep(for: .nanoseconds(Int64(wait)))
            mailbox.put(.tick)
        }
    }

    private func look() {
        guard !isClosed else { return }
        let now = ContinuousClock.now
        copy?.look(now: now)
        rest?.look(now: now)
        let wait = machine.demandWait(copyIsAwaited: copy?.isAwaited == true, now: now)
        meter.sample(inFlight: machine.transfersInFlight, wait: wait, partialBytes: partialBytes, now: now)
        receipts.withLock { $0.look(now: now) }
        hand(.fetches(.progressed(parts.mapValues(\.arrival.bytes))))
        // Without a store what is missing may come from peers, and nobody promised it. Nothing comes while a file that
        // has all its chunks is checked.
        let isComplete =
            parties.current == nil
            || set.files.enumerated().allSatisfy { !isExpected($0) || $1.receivedChunks == $1.chunkCount }
        let isAlone = net?.peers.contains { $0.isConnected } != true
        hand(.fetches(.tick(isComplete: isComplete, isAlone: isAlone)))
        if nextTick <= instant {
            nextTick = .max
            hand(.plan(.tick))
        }
    }

    /// Of chunks that are not complete.
    private var partialBytes: UInt64 {
        let accepted = UInt64(shared.heldCount) * shared.layout.blockBytes
        let received = set.files.reduce(0) { $0 + $1.receivedBytes }
        return accepted - min(accepted, received) + parts.values.reduce(0) { $0 + $1.arrival.bytes }
    }

    var instant: SwarmInstant {
        let span = origin.duration(to: .now).components
        return UInt64(span.seconds) * 1_000_000_000 + UInt64(span.attoseconds / 1_000_000_000) + 1
    }

    func hand(_ next: Work) {
        work.append(next)
        guard !isWorking else { return }
        isWorking = true
        while let next = work.popFirst() {
            switch next {
            case .plan(let event): for action in planner.handle(event, at: instant) { carryOut(action) }
            case .fetches(let event): for action in machine.handle(event, now: .now) { carryOut(action) }
            }
        }
        isWorking = false
    }
}
