public import ChunkStore
public import Logging
public import ObjectStore
internal import RangeTransfer
internal import Synchronization

/// Fills one model from the store: carries out what a ``FillMachine`` decides.
///
/// The bytes never pass through this actor: the engine's threads hand them to a ``FetchSink``, which makes each chunk
/// visible as soon as it is complete. Every event is a message in one mailbox, which ``run()`` takes in order.
///
/// Guarantees: a chunk has at most one writer; a failed transfer goes on where it stopped (every request carries
/// `If-Match`, so the rest belongs to the same object); when ``run()`` returns, every file is published or failed, or
/// the fill was stopped, and no transfer, writer or staging buffer is left.
public actor ModelFill {
    private enum Message: Sendable {
        case event(FillMachine.Event)
        case staging(StagingPool.Event)
        case source(any RangeSource)
        /// - party: the number of the one as which the store was asked.
        case ended(FillMachine.ID, FillMachine.TransferEnd, FillMachine.Progress, receivedChunks: Int, party: Int)
        case tick
    }

    private struct Part {
        let run: ChunkRun
        let sink: FetchSink
        /// Nil before the first request.
        var transfer: (any RunningTransfer)?
    }

    /// For what only time tells: pauses that end, rates, deadlines. All else wakes the loop itself.
    private static let tickInterval: Duration = .milliseconds(50)

    private let model: CachedModel
    private let set: FileSet
    private let pool: StagingPool
    private let logger: Logger
    /// Nil: every file comes from the store.
    private let copy: LocalCopy?
    private let mailbox = Mailbox<Message>()
    /// Of the checks of complete files.
    private let checking = WorkStop()
    private var parties: StoreParties
    private var machine: FillMachine
    private var parts: [FillMachine.ID: Part] = [:]
    /// Files that the store did not give, and that the copy may bring after all.
    private var left: [Int: (kind: FillFailure, reason: String)] = [:]
    /// Of the files in `left`.
    private var rest: LocalCopy?
    private var isStopped = false
    /// The grant that is being dealt with.
    private var grant: StagingGrant?
    private nonisolated let cause = Mutex<FillFailure?>(nil)

    /// The kind of failure that ended the fill early; nil while nothing did. The files carry the words.
    public nonisolated var failure: FillFailure? { cause.withLock { $0 } }

    /// Counters that may be read from anywhere.
    public nonisolated let meter = FillMeter()

    /// - Parameter donors: files of other caches, by the ``CachedFile/fileIndex`` of those that they are copied to.
    public init(
        model: CachedModel, client: StoreClient, pool: StagingPool, limits: FillLimits, prefetches: Bool = true,
        donors: [UInt32: CachedFile] = [:], logger: Logger
    ) {
        self.init(
            model: model, source: StoreSource(client: client), pool: pool, limits: limits, prefetches: prefetches,
            donors: donors, logger: logger)
    }

    /// From any source; tests put their own in the store's place.
    package init(
        model: CachedModel, source: any RangeSource, pool: StagingPool, limits: FillLimits, prefetches: Bool = true,
        donors: [UInt32: CachedFile] = [:], pace: CopyPace = CopyPace(), logger: Logger
    ) {
        self.model = model
        parties = StoreParties(source)
        self.pool = pool
        self.logger = logger
        set = model.current
        copy = LocalCopy(
            set, from: donors, pace: prefetches ? pace : nil, blockBytes: nil, meter: meter, logger: logger,
            model: model)
        let files = set.files
        machine = FillMachine(
            names: files.map(\.key), chunkCounts: files.map(\.chunkCount), chunkBytes: set.manifest.chunkBytes,
            limits: limits, prefetches: prefetches, endpoint: source.name, copying: copy?.files ?? [], now: .now,
            isPresent: { files[$0.file].isReceived($0.chunk) })
    }

    // MARK: Requests

    /// A reader waits for bytes of a file. Out-of-range numbers are ignored: they come from another process.
    public func demand(file: Int, offset: UInt64, length: UInt64) {
        guard let place = UInt32(exactly: file).flatMap({ set.position(ofFileIndex: $0) }) else { return }
        let cached = set.files[place]
        guard offset < cached.size, length > 0 else { return }
        let end = offset.addingReportingOverflow(length)
        let last = min(cached.size, end.overflow ? .max : end.partialValue) - 1
        let chunks = Int(offset / cached.chunkBytes)..<Int(last / cached.chunkBytes) + 1
        copy?.demand(file: place, chunks: chunks)
        rest?.demand(file: place, chunks: chunks)
        mailbox.put(.event(.demand(file: place, chunks: chunks, last: last)))
    }

    /// Requests may go through this client too, where the store refuses the former ones (``StoreParties``).
    public func use(_ client: StoreClient) { use(StoreSource(client: client)) }

    package func use(_ source: any RangeSource) { mailbox.put(.source(source)) }

    /// From now on the fill receives at most so much; nil: no limit.
    public func limit(bytesPerSecond: Int64?) { mailbox.put(.event(.limited(bytesPerSecond: bytesPerSecond))) }

    /// Ends ``run()`` soon; chunks that were not finished stay missing.
    public func stop() {
        mailbox.put(.event(.stopped))
        // After it: a check that is stopped is no failure of its file then.
        checking.stop()
        isStopped = true
        rest?.stop()
    }

    // MARK: The run

    /// Fills until every file is published or failed, or until ``stop()``. To be called once.
    public func run() async {
        let stream = model.lostChunks()
        let losses = Task { [mailbox, set] in
            for await chunk in stream {
                // A chunk of another set of files is another fill's.
                guard let file = set.position(ofFileIndex: chunk.fileIndex) else { continue }
                let address = ChunkAddress(file: file, chunk: chunk.chunk)
                mailbox.put(.event(.lost([address], isAwaited: chunk.isAwaited)))
            }
        }
        defer { losses.cancel() }
        let share = pool.join { [mailbox] in mailbox.put(.staging($0)) }
        let unfinished = Set(set.files.indices.filter { set.files[$0].state == .filling })
        let fetched = set.files.indices.filter { copy?.files.contains($0) != true }
        let missing = fetched.flatMap { Self.missing(in: set.files[$0], at: $0) }
        for action in machine.start(unfinished: unfinished, missing: missing) { carryOut(action) }
        copy?.start { [mailbox] event in
            guard let event = FillMachine.Event(event) else { return }
            mailbox.put(.event(event))
        }
        let clock = Task { [mailbox] in
            while !Task.isCancelled {
                mailbox.put(.tick)
                try? await Task.sleep(for: Self.tickInterval)
            }
        }
        while !machine.hasEnded {
            tell(share)
            for message in await mailbox.take() where !machine.hasEnded { receive(message, share) }
        }
        precondition(parts.isEmpty, "a fill that has ended holds no writer")
        copy?.stop()
        await copy?.finished()
        clock.cancel()
        share.leave()
        // Nobody takes from it any more: a grant that comes late would keep its memory while the rest is copied.
        mailbox.close()
        await copyRest()
        meter.ended()
    }

    /// A long copy leaves a part to the store to learn its rate (``CopyPace``). A file of which the store does not give
    /// that part is complete all the same, if later.
    private func copyRest() async {
        if !left.isEmpty, !isStopped, let rest = copy?.rest(of: Set(left.keys)) {
            self.rest = rest
            rest.start { _ in }
            let clock = Task {
                while !Task.isCancelled {
                    rest.look(now: .now)
                    try? await Task.sleep(for: Self.tickInterval)
                }
            }
            await rest.finished()
            clock.cancel()
        }
        for (index, failure) in left.sorted(by: { $0.key < $1.key }) {
            let file = set.files[index]
            if await !isPublished(file), !isStopped { failFile(file, failure.kind, failure.reason) }
        }
        copy?.forgetDonors()
    }

    private func isPublished(_ file: CachedFile) async -> Bool {
        guard file.receivedChunks == file.chunkCount else { return false }
        let result: Result<Completion, ChunkStoreError> = await withCheckedContinuation { continuation in
            FileCheck.begin(file, of: model, until: checking) { continuation.resume(returning: $0) }
        }
        guard case .success(let completion) = result else { return false }
        FileCheck.log(completion, of: file, to: logger)
        return file.state == .complete
    }

    private func tell(_ share: StagingShare) {
        let now = ContinuousClock.now
        let wants = machine.wants(now: now)
        share.update(
            demands: wants.demands, prefetches: wants.prefetches, demandsUnderWay: wants.demandsUnderWay, now: now)
    }

    private func receive(_ message: Message, _ share: StagingShare) {
        switch message {
        case .event(let event): handle(event)
        case .staging(.granted(let grant)):
            self.grant = grant
            handle(.granted(isForDemand: grant.isForDemand))
            self.grant = nil
        case .staging(.holdChanged): handle(.prefetchLimited(share.prefetchLimit))
        case .source(let source): parties.offer(source)
        case .ended(let id, let end, let progress, let chunks, let party):
            handle(.transferEnded(id, judged(end, of: id, party), progress, receivedChunks: chunks))
        case .tick:
            handle(.progressed(parts.mapValues { $0.sink.progress }))
            handle(.tick(receivedBytes: meter.receivedBytes))
            let now = ContinuousClock.now
            // Where nothing is fetched any more, the copy keeps all that it has.
            copy?.look(now: now, mayTakeBack: machine.phase == .filling)
            let wait = machine.demandWait(copyIsAwaited: copy?.isAwaited == true, now: now)
            meter.sample(inFlight: machine.transfersInFlight, wait: wait, partialBytes: partialBytes, now: now)
        }
    }

    private func judged(
        _ end: FillMachine.TransferEnd, of id: FillMachine.ID, _ party: Int
    ) -> FillMachine.TransferEnd {
        guard case .failed(let error) = end, let file = parts[id]?.run.file,
            parties.refused(party, file: file, error)
        else { return end }
        return .partyRefused(error)
    }

    /// Of chunks that are not complete.
    private var partialBytes: UInt64 {
        let chunkBytes = set.manifest.chunkBytes
        return parts.values.reduce(0) { sum, part in
            let position = part.sink.progress.position
            return sum + (position < part.sink.range.upperBound ? position % chunkBytes : 0)
        }
    }

    private func handle(_ event: FillMachine.Event) {
        guard !machine.hasEnded else { return }
        for action in machine.handle(event, now: .now) { carryOut(action) }
    }

    // MARK: Actions

    private func carryOut(_ action: FillMachine.Action) {
        switch action {
        case .begin(let id, let run): begin(id, run)
        case .returnGrant: grant = nil
        case .send(let id): send(id)
        case .cancel(let id): parts[id]?.transfer?.cancel()
        case .pause(let id): parts[id]?.transfer?.pause()
        case .resume(let id): parts[id]?.transfer?.resume()
        case .readLayout(let file, let chunks): readLayout(file, chunks)
        case .forget(let id): parts.removeValue(forKey: id)?.sink.abort()
        case .check(let file): check(file)
        case .failFile(let file, let kind, let reason):
            if kind.isLackOfBytes, copy?.mayBring(file: file) == true { return left[file] = (kind, reason) }
            failFile(set.files[file], kind, reason)
        case .refilled(let file, let reason): refilled(set.files[file], reason)
        case .wait(let delay, let reason):
            logger.notice(
                "waiting for the store",
                metadata: [
                    "model": "\(model.id)", "seconds": "\(delay.components.seconds)", "reason": "\(reason)",
                ])
        case .retried: meter.retried()
        case .throttled: meter.wasThrottled()
        case .end: logger.debug("fill ended", metadata: ["model": "\(model.id)"])
        }
    }

    private func begin(_ id: FillMachine.ID, _ run: ChunkRun) {
        guard let grant else { preconditionFailure("a fetch begins with a grant") }
        let file = set.files[run.file]
        let answer: FillMachine.Event
        do throws(ChunkStoreError) {
            let writer = try file.chunkWriter(run.chunks.lowerBound, with: grant)
            let range = writer.range.lowerBound..<file.range(ofChunk: run.chunks.upperBound - 1).upperBound
            let sink = FetchSink(range, writer: writer, meter: meter, next: Self.next(in: run, of: file))
            parts[id] = Part(run: run, sink: sink)
            answer = .began(id)
        } catch .chunkReceived, .chunkBusy {
            // The writer of a former fill has made the chunk received, or has not let go of it yet.
            answer = .didNotBegin(id, receivedChunks: file.receivedPrefix(of: run.chunks), nil)
        } catch {
            answer = .didNotBegin(id, receivedChunks: 0, error)
        }
        handle(answer)
    }

    /// Makes each chunk of the run received; the next one takes its share of the staging memory, so that none of them
    /// waits for memory in the middle.
    private static func next(in run: ChunkRun, of file: CachedFile) -> FetchSink.Next {
        { writer throws(ChunkStoreError) in
            // Whether it was the file's last the planner knows.
            _ = try writer.assembly.accept(block: 0, checksum: writer.checksum)
            let next = writer.assembly.chunk + 1
            guard next < run.chunks.upperBound, let grant = writer.end() else { return nil }
            return try file.chunkWriter(next, with: grant)
        }
    }

    private func send(_ id: FillMachine.ID) {
        guard let part = parts[id] else { preconditionFailure("a fetch that was begun has a sink") }
        let (run, sink) = (part.run, part.sink)
        guard let party = parties.current(for: run.file) else {
            preconditionFailure("a fill from the store has a client")
        }
        let file = set.files[run.file]
        let entry = set.manifest.files[run.file]
        let range = ObjectRange(
            key: file.key, etag: entry.etag, objectSize: file.size, offset: sink.position, length: sink.remaining)
        meter.requested()
        parts[id]?.transfer = party.source.get(range, into: sink) { [mailbox] result in
            let end = FillMachine.TransferEnd(result, sinkFailure: sink.failure)
            let received = file.receivedPrefix(of: run.chunks)
            mailbox.put(.ended(id, end, sink.progress, receivedChunks: received, party: party.number))
        }
    }

    private func check(_ index: Int) {
        let file = set.files[index]
        FileCheck.begin(file, of: model, until: checking) { [mailbox, logger] result in
            if case .success(let completion) = result { FileCheck.log(completion, of: file, to: logger) }
            // Before the result: with it the machine would take the fill for over.
            if case .failure(.notComplete) = result {
                mailbox.put(.event(.lost(Self.missing(in: file, at: index), isAwaited: false)))
            }
            mailbox.put(.event(.fileChecked(index, result)))
        }
    }

    private func readLayout(_ index: Int, _ chunks: Int) {
        let file = set.files[index]
        let bytes = file.range(ofChunk: chunks - 1).upperBound
        // Not here: a table of 10 MB takes tens of milliseconds, and a disk's longer.
        BlockingWork.shared.submit(.demanded, for: model.work) { [mailbox] in
            mailbox.put(.event(.layoutRead(file: index, LayoutReading(file, bytes: bytes))))
        }
    }

    private static func missing(in file: CachedFile, at place: Int) -> [ChunkAddress] {
        file.missingChunks().map { ChunkAddress(file: place, chunk: $0) }
    }

    private func refilled(_ file: CachedFile, _ reason: String) {
        logger.error(
            "the file's digest is wrong, reading it again",
            metadata: [
                "file": "\(file.key)", "reason": "\(reason)",
            ])
        meter.refilled()
    }

    private func failFile(_ file: CachedFile, _ kind: FillFailure, _ reason: String) {
        cause.withLock { $0 = $0 ?? kind }
        logger.error(
            "file failed",
            metadata: [
                "model": "\(model.id)", "file": "\(file.key)", "reason": "\(reason)",
            ])
        file.fail(reason: reason, alone: kind.isFilesOwn)
    }
}

extension FillMachine.Event {
    /// Nil: what was copied the machine counts as present already.
    fileprivate init?(_ event: LocalCopy.Event) {
        switch event {
        case .copied: return nil
        case .missing(let file, let chunks, let isAwaited):
            self = .lost(chunks.map { ChunkAddress(file: file, chunk: $0) }, isAwaited: isAwaited)
        case .ended(let file): self = .copyEnded(file: file)
        }
    }
}

extension FillMachine.TransferEnd {
    /// The cache's refusal counts more than what the engine made of it.
    init(_ result: Result<Void, StoreError>, sinkFailure: ChunkStoreError?) {
        switch result {
        case .success: self = .arrived
        case .failure(let error): self = sinkFailure.map { .cacheFailed($0) } ?? .failed(error)
        }
    }
}

extension LayoutReading {
    /// Reads the layout from so many bytes of the file's beginning.
    init(_ file: CachedFile, bytes count: UInt64) {
        guard let bytes = file.beginning(bytes: Int(count)) else {
            self = .unknown
            return
        }
        switch bytes.withUnsafeBytes({ GGUFDirectory.read($0, fileBytes: file.size) }) {
        case .directory(let directory): self = .layout(FileLayout(directory))
        case .needs(let bytes): self = .needs(bytes: bytes)
        case .unknown: self = .unknown
        }
    }
}

extension CachedFile {
    /// A writer of a chunk that one transfer brings as a whole. Errors as `assembleChunk(_:blockBytes:)`.
    fileprivate func chunkWriter(_ chunk: Int, with grant: StagingGrant) throws(ChunkStoreError) -> BlockWriter {
        let assembly = try assembleChunk(chunk, blockBytes: chunkBytes)
        guard let writer = assembly.writer(forBlock: 0, with: grant, isRelayed: false) else {
            preconditionFailure("a new assembly has a writer to give")
        }
        return writer
    }

    /// How many of the chunks are received, from the first on without a gap.
    func receivedPrefix(of chunks: Range<Int>) -> Int { chunks.prefix { isReceived($0) }.count }
}
