package import ChunkStore
package import Logging
internal import Synchronization

/// Copies files of one fill from other caches of this node, on threads of its own: carries out what a ``CopyPlan``
/// decides. The fill fetches what it does not copy.
///
/// A unit that a reader waits for has a thread for itself, so that it does not wait for the others. Nobody waits for a
/// donor's disk that hangs, be it another fill's (``CopyThreads``): neither ``finished()``, nor readers for longer than
/// ``CopySilence/longest``. Any thread may call anything.
package final class LocalCopy: Sendable {
    package enum Event: Sendable {
        /// Received.
        case copied(file: Int, [CopiedChunk])
        /// They are to be fetched; those that were received by then are not among them.
        case missing(file: Int, chunks: [Int], isAwaited: Bool)
        /// The last event of the file.
        case ended(file: Int)
    }
    package typealias Listener = @Sendable (Event) -> Void

    private struct State {
        var plan: CopyPlan
        /// By the file's place. Each goes with its copy's end.
        var donors: [Int: CachedFile]
        /// Nil: nothing is taken back.
        var pace: CopyPace?
        /// Files of which the fill was to fetch a part, or whose copy was stopped: their donors have more.
        var takenBack: Set<Int> = []
        /// Chunks of the files that readers have waited for.
        var demanded: Set<ChunkAddress> = []
        /// Threads that were asked for and have not come back. One that reads a disk that hangs may never do.
        var underWay = 0
        var awaitedUnderWay = 0
        /// The thread for units that readers wait for hangs: the others take them first.
        var lacksAwaitedThread = false
        /// Units under way that were not given up.
        var turns: [CopyPlan.Unit: CopyTurn] = [:]
        var silence = CopySilence()
        var isStopped = false
        var listener: Listener?
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// Places of the files that are copied.
    let files: Set<Int>
    private let set: FileSet
    private let blockBytes: UInt64
    private let meter: FillMeter
    private let logger: Logger
    private let model: CachedModel
    /// Of the reads: a donor on a disk may make a cache in memory wait for that.
    private let owner: WorkOwner
    private let state: Mutex<State>

    /// Nil: nothing can be copied.
    ///
    /// - Parameters:
    ///   - donors: by ``CachedFile/fileIndex``. Their caches may be evicted meanwhile.
    ///   - pace: nil: nobody fetches what takes long to copy.
    ///   - blockBytes: of the digests that ``Event/copied(file:_:)`` tells; nil: of whole chunks.
    package init?(
        _ set: FileSet, from donors: [UInt32: CachedFile], pace: CopyPace?, blockBytes: UInt64?, meter: FillMeter,
        logger: Logger, model: CachedModel
    ) {
        var byPlace: [Int: CachedFile] = [:]
        var planned: [CopyPlan.File] = []
        for (place, file) in set.files.enumerated() where file.state == .filling {
            guard let donor = donors[file.fileIndex], let unit = file.chunksOfCopy(from: donor) else { continue }
            byPlace[place] = donor
            planned.append(
                CopyPlan.File(
                    file: place, chunkCount: file.chunkCount, chunksOfUnit: unit,
                    isMissing: { !file.isReceived($0) }))
        }
        let plan = CopyPlan(planned)
        guard !plan.isOver else { return nil }
        let files = plan.files
        self.files = files
        self.set = set
        self.blockBytes = blockBytes ?? set.manifest.chunkBytes
        self.meter = meter
        self.logger = logger
        self.model = model
        owner = WorkOwner(model.id, isOnDisk: model.work.isOnDisk || byPlace.values.contains { $0.isOnDisk })
        state = Mutex(State(plan: plan, donors: byPlace.filter { files.contains($0.key) }, pace: pace))
    }

    /// To be called once. `listener` is called on any thread, one event after the other: it must be quick, and call
    /// nothing here.
    package func start(_ listener: @escaping Listener) {
        logger.info(
            "files are copied from other caches of this node",
            metadata: [
                "model": "\(model.id)", "files": "\(files.count)",
                "bytes": "\(files.reduce(0) { $0 + set.files[$1].size })",
            ])
        state.withLock { $0.listener = listener }
        begin()
    }

    /// A reader waits for these chunks.
    func demand(file: Int, chunks: Range<Int>) {
        guard files.contains(file) else { return }
        state.withLock { state in
            for chunk in chunks.clamped(to: 0..<set.files[file].chunkCount) {
                state.demanded.insert(ChunkAddress(file: file, chunk: chunk))
            }
            state.plan.demanded(file: file, chunks: chunks)
        }
        begin()
    }

    /// Whether a reader waits for what is copied.
    var isAwaited: Bool { state.withLock { $0.plan.isAwaited } }

    /// Gives up what hangs, and lets the fill fetch what takes longer to copy (``CopyPace``). To be called several
    /// times a second.
    ///
    /// - Parameter mayTakeBack: whether the fill still fetches.
    func look(now: ContinuousClock.Instant, mayTakeBack: Bool = true) {
        giveUpWhatHangs(now)
        if mayTakeBack { takeBack(now) }
        resumeWaiters()
    }

    private func takeBack(_ now: ContinuousClock.Instant) {
        let chunkBytes = set.manifest.chunkBytes
        let fetched = meter.receivedBytes + meter.peerBytes
        let isFirst = state.withLock { state in
            guard !state.isStopped, !state.plan.isOver, var pace = state.pace else { return false }
            let chunks = state.plan.chunks
            // Under the lock: a unit that ends between the two counts would look like something to fetch.
            let missing = set.files.reduce(0) { $1.state == .filling ? $0 + $1.chunkCount - $1.receivedChunks : $0 }
            let look = CopyPace.Look(
                copiedBytes: meter.copiedBytes, fetchedBytes: fetched, copyBytes: UInt64(chunks.waiting) * chunkBytes,
                fetchBytes: UInt64(max(0, missing - chunks.waiting - chunks.underWay)) * chunkBytes)
            let bytes = pace.bytesToFetch(look, now: now)
            state.pace = pace
            guard bytes > 0 else { return false }
            let isFirst = state.takenBack.isEmpty
            let actions = state.plan.takenBack(chunks: Int((bytes + chunkBytes - 1) / chunkBytes))
            for case .missing(let unit, isAwaited: _) in actions { state.takenBack.insert(unit.file) }
            tell(actions, &state)
            return isFirst && !state.takenBack.isEmpty
        }
        if isFirst {
            logger.notice(
                "a copy from another cache of this node takes long; a part of it is fetched",
                metadata: ["model": "\(model.id)"])
        }
    }

    private func giveUpWhatHangs(_ now: ContinuousClock.Instant) {
        let lacksThreads = CopyThreads.shared.standStill(kind(isAwaited: false), now: now)
        let lacksAwaitedThread = CopyThreads.shared.standStill(kind(isAwaited: true), now: now)
        let (givenUp, waitsInVain) = state.withLock { state in
            state.lacksAwaitedThread = lacksAwaitedThread
            let units = state.silence.look(state.turns.mapValues(\.steps), now: now)
            let givenUp = units.filter { giveUp($0, &state) }
            let waitsInVain = givenUp.isEmpty && lacksThreads && state.plan.chunks.waiting > 0
            // The threads may never come back, so that nobody would copy the rest.
            if !givenUp.isEmpty || waitsInVain {
                tell(state.plan.stopped(), &state)
                state.donors = [:]
            }
            return (givenUp, waitsInVain)
        }
        for unit in givenUp {
            logger.warning(
                "another cache's disk does not bring a file; what is not copied yet is fetched",
                metadata: [
                    "model": "\(model.id)", "file": "\(set.files[unit.file].key)",
                    "seconds": "\(CopySilence.longest.components.seconds)",
                ])
        }
        if waitsInVain {
            logger.warning(
                "all threads that copy wait for disks that hang; what is not copied yet is fetched",
                metadata: ["model": "\(model.id)"])
        }
    }

    private func kind(isAwaited: Bool) -> CopyThreads.Kind {
        CopyThreads.Kind(isAwaited ? .awaitedCopies : .copies, isOnDisk: owner.isOnDisk)
    }

    /// Returns whether it ended the unit; false: that ends by itself.
    private func giveUp(_ unit: CopyPlan.Unit, _ state: inout State) -> Bool {
        guard state.turns[unit]?.giveUp() == true else { return false }
        state.turns[unit] = nil
        tell(state.plan.ended(unit, .impossible), &state)
        return true
    }

    /// Nothing more is begun, and what waits for a donor's disk is given up; ``finished()`` waits for the rest.
    func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            // Their donors may still be needed (``rest(of:)``).
            state.takenBack.formUnion(state.plan.files)
            tell(state.plan.stopped(), &state)
            for unit in Array(state.turns.keys) { _ = giveUp(unit, &state) }
        }
        resumeWaiters()
    }

    /// Until nothing is copied any more: nothing is written to the files.
    package func finished() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if !state.plan.isOver { state.waiters.append(continuation) }
                return state.plan.isOver
            }
            if isOver { continuation.resume() }
        }
    }

    // MARK: Parts that the store did not give

    /// Whether the file's donor may have what the store does not give: its copy goes on, or a part was taken back.
    func mayBring(file: Int) -> Bool { state.withLock { $0.donors[file] != nil } }

    /// A copy of all that is missing of these files, of which nothing is taken back; nil: there is nothing to copy. It
    /// knows what readers wait for. To be begun when this one has ended.
    func rest(of places: Set<Int>) -> LocalCopy? {
        let (donors, demanded) = state.withLock { state in
            (state.donors.filter { places.contains($0.key) }, state.demanded.sorted())
        }
        let rest = LocalCopy(
            set, from: Dictionary(uniqueKeysWithValues: donors.map { (set.files[$0.key].fileIndex, $0.value) }),
            pace: nil, blockBytes: blockBytes, meter: meter, logger: logger, model: model)
        for chunk in demanded where !set.files[chunk.file].isReceived(chunk.chunk) {
            rest?.demand(file: chunk.file, chunks: chunk.chunk..<chunk.chunk + 1)
        }
        return rest
    }

    /// Once nothing is copied any more: the other caches' files are not held open.
    package func forgetDonors() { state.withLock { $0.donors = [:] } }

    // MARK: Units

    /// Asks for threads. Each takes its unit when it comes to it, so that a reader's demand finds all units that nobody
    /// copies yet, however long the threads are busy.
    private func begin() {
        let (awaited, others) = state.withLock { state in
            guard state.listener != nil, !state.isStopped else { return (0, 0) }
            let awaited = state.awaitedUnderWay == 0 && state.plan.mayHaveAwaited ? 1 : 0
            let others = state.plan.mayHaveMore ? BlockingWork.Lane.copies.threads - state.underWay : 0
            state.awaitedUnderWay += awaited
            state.underWay += others
            return (awaited, others)
        }
        let work = BlockingWork.shared
        for _ in 0..<awaited { work.submit(.awaitedCopies, for: owner) { self.copyNext(isAwaited: true) } }
        for _ in 0..<others { work.submit(.copies, for: owner) { self.copyNext(isAwaited: false) } }
    }

    private func copyNext(isAwaited: Bool) {
        let job = state.withLock { state -> (unit: CopyPlan.Unit, donor: CachedFile, turn: CopyTurn)? in
            while !state.isStopped, let unit = Self.next(isAwaited: isAwaited, &state) {
                guard let donor = state.donors[unit.file] else {
                    // Its donor was forgotten meanwhile: a unit that is under way ends, or nobody would fetch it.
                    tell(state.plan.ended(unit, .impossible), &state)
                    continue
                }
                let turn = CopyTurn()
                state.turns[unit] = turn
                return (unit, donor, turn)
            }
            if isAwaited { state.awaitedUnderWay -= 1 } else { state.underWay -= 1 }
            return nil
        }
        guard let job else { return resumeWaiters() }
        CopyThreads.shared.began(job.turn, kind(isAwaited: isAwaited))
        copy(job.unit, from: job.donor, job.turn, isAwaited: isAwaited)
    }

    private static func next(isAwaited: Bool, _ state: inout State) -> CopyPlan.Unit? {
        if isAwaited || state.lacksAwaitedThread, let unit = state.plan.nextAwaited() { return unit }
        return isAwaited ? nil : state.plan.next()
    }

    private func copy(_ unit: CopyPlan.Unit, from donor: CachedFile, _ turn: CopyTurn, isAwaited: Bool) {
        let file = set.files[unit.file]
        let (end, copied) = Self.copy(unit, of: file, from: donor, blockBytes, turn)
        CopyThreads.shared.ended(turn)
        if end == .damaged {
            logger.warning(
                "a file of another cache of this node is damaged; its bytes are fetched",
                metadata: ["model": "\(model.id)", "file": "\(file.key)", "other": "\(donor.key)"])
        }
        meter.copied(copied.reduce(0) { $0 + file.range(ofChunk: $1.chunk).count })
        state.withLock { state in
            if isAwaited { state.awaitedUnderWay -= 1 } else { state.underWay -= 1 }
            guard state.turns[unit] === turn else { return }
            state.turns[unit] = nil
            if !copied.isEmpty { state.listener?(.copied(file: unit.file, copied)) }
            tell(state.plan.ended(unit, end), &state)
        }
        resumeWaiters()
        begin()
    }

    private static func copy(
        _ unit: CopyPlan.Unit, of file: CachedFile, from donor: CachedFile, _ blockBytes: UInt64, _ turn: CopyTurn
    ) -> (CopyPlan.End, [CopiedChunk]) {
        // The fill meets the same error of this cache, and tells it.
        guard let result = try? file.copy(unit.chunks, from: donor, blockBytes: blockBytes, turn: turn) else {
            return (.impossible, [])
        }
        return switch result {
        case .copied(let chunks): (.copied, chunks)
        case .damaged: (.damaged, [])
        case .gone: (.impossible, [])
        }
    }

    private func tell(_ actions: [CopyPlan.Action], _ state: inout State) {
        for action in actions {
            switch action {
            case .missing(let unit, let isAwaited):
                let missing = unit.chunks.filter { !set.files[unit.file].isReceived($0) }
                state.listener?(.missing(file: unit.file, chunks: missing, isAwaited: isAwaited))
            case .ended(let file):
                if !state.takenBack.contains(file) { state.donors[file] = nil }
                state.listener?(.ended(file: file))
            }
        }
    }

    private func resumeWaiters() {
        let waiters = state.withLock { state in
            guard state.plan.isOver else { return [CheckedContinuation<Void, Never>]() }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
