public import ChunkStore
internal import Foundation
public import Logging
public import ObjectStore
internal import Synchronization

/// Bounds on one model's fill.
public struct FillLimits: Sendable {
    /// Most ranged GETs in flight.
    public var maximumTransfers: Int
    /// How many to begin with.
    public var initialTransfers: Int
    /// Without a single byte from the store for this long the fill fails, with the store's last error as the reason.
    /// Less than the readers' own deadline, so that they hear the cause.
    public var storeDeadline: Duration
    /// Attempts in a row for one chunk that brought no byte.
    public var maximumFruitlessAttempts: Int
    /// Most bytes a second from the store; nil: no limit.
    public var bytesPerSecond: Int64?

    public init(
        maximumTransfers: Int, initialTransfers: Int = 8, storeDeadline: Duration = .seconds(240),
        maximumFruitlessAttempts: Int = 24, bytesPerSecond: Int64? = nil
    ) {
        self.bytesPerSecond = bytesPerSecond
        self.maximumTransfers = max(1, maximumTransfers)
        self.initialTransfers = max(1, min(initialTransfers, maximumTransfers))
        self.storeDeadline = storeDeadline
        self.maximumFruitlessAttempts = maximumFruitlessAttempts
    }
}

/// Fills one model: carries out what a ``FillPlanner`` decides.
///
/// The bytes never pass through this actor: the engine's threads hand them to a ``RunSink``, which makes each chunk visible as soon
/// as it is whole. Here only starts, ends and retries are counted, a few hundred a second at most.
///
/// Guarantees: a chunk has at most one writer; a failed transfer goes on where it stopped (every request carries
/// `If-Match`, so the rest belongs to the same object); when ``run()`` returns, every file is published or failed.
public actor ModelFill {
    private struct InFlight {
        let sink: RunSink
        var transfer: TransferID?
        var startedAt: ContinuousClock.Instant
        var bytesAtStart: Int64 = 0
        var fruitlessAttempts = 0
        var restarts = 0
        /// Set while the transfer waits to be asked for again.
        var resumeAt: ContinuousClock.Instant?
        var restartRequested = false
    }

    enum Outcome: Sendable {
        case arrived
        case transferFailed(StoreError)
        case storeFailed(ChunkStoreError)
    }

    private let model: CachedModel
    private let pool: StagingPool
    private let limits: FillLimits
    private let logger: Logger
    private let clock = ContinuousClock()
    private var client: StoreClient
    private var planner: FillPlanner
    private var controller: ConcurrencyController
    /// By the first chunk of the run.
    private var inFlight: [ChunkAddress: InFlight] = [:]
    private var completing: Set<Int> = []
    private var recentRates: [Double] = []
    private let slowness = SlowTransferPolicy()
    private let runLength = RunLength()
    private var retryPolicy = RetryPolicy(
        maximumAttempts: .max, baseDelay: .milliseconds(50), maximumDelay: .seconds(5), deadline: nil)
    private var lastProgress: ContinuousClock.Instant
    private var bytesAtLastProgress: Int64 = 0
    private var lastError: String?
    private var isStopping = false
    /// The pause between two ticks; cut short at the end, so that a small file is not published 50 ms late.
    private var nap: Task<Void, any Error>?
    private var bucket: RateBucket
    private nonisolated let cause = Mutex<FillFailure?>(nil)

    /// What kind of thing ended the fill early; nil while nothing did. The files carry the words.
    public nonisolated var failure: FillFailure? { cause.withLock { $0 } }

    /// Counters that may be read from anywhere.
    public nonisolated let meter = FillMeter()

    public init(
        model: CachedModel, client: StoreClient, pool: StagingPool, limits: FillLimits, prefetches: Bool = true,
        logger: Logger
    ) {
        self.model = model
        self.client = client
        self.pool = pool
        self.limits = limits
        self.logger = logger
        let files = model.files
        planner = FillPlanner(chunkCounts: files.map(\.chunkCount), prefetches: prefetches) {
            files[$0.file].isReceived($0.chunk)
        }
        let now = clock.now
        controller = ConcurrencyController(
            initial: limits.initialTransfers, maximum: limits.maximumTransfers, now: now)
        lastProgress = now
        bucket = RateBucket(bytesPerSecond: limits.bytesPerSecond, now: now)
    }

    // MARK: Requests

    /// A reader waits for bytes of a file. Out-of-range numbers are ignored: they come from another process.
    public func demand(file: Int, offset: UInt64, length: UInt64) {
        guard model.files.indices.contains(file) else { return }
        let cached = model.files[file]
        guard offset < cached.size, length > 0 else { return }
        let end = min(cached.size, offset.addingReportingOverflow(length).overflow ? .max : offset + length)
        let first = Int(offset / cached.chunkBytes)
        let last = Int((end - 1) / cached.chunkBytes)
        planner.demand(file: file, chunks: first..<(last + 1))
        pump()
    }

    /// From now on requests go through this client: its credentials are newer.
    public func use(_ client: StoreClient) { self.client = client }

    /// From now on the fill receives at most so much; nil: no limit.
    public func limit(bytesPerSecond: Int64?) { bucket.set(bytesPerSecond: bytesPerSecond, now: clock.now) }

    /// Ends ``run()`` soon; chunks that were not finished stay missing.
    public func stop() {
        isStopping = true
        for flight in inFlight.values {
            if let transfer = flight.transfer { client.cancel(transfer) }
        }
    }

    // MARK: The run

    /// Fills until every file is published or failed, or until ``stop()``.
    public func run() async {
        for file in model.files where file.state == .filling && planner.missingChunks(ofFile: file.index) == 0 {
            complete(file.index)
        }
        for file in model.files where file.state != .filling { planner.abandon(file: file.index) }
        pump()
        while !isDone {
            let nap = Task { [clock] in try await clock.sleep(for: .milliseconds(50)) }
            self.nap = nap
            _ = await nap.result
            tick()
        }
        meter.ended()
    }

    private var isDone: Bool {
        if isStopping { return inFlight.values.allSatisfy { $0.transfer == nil } && completing.isEmpty }
        return planner.isComplete && inFlight.isEmpty && completing.isEmpty
    }

    private func tick() {
        let now = clock.now
        let bytes = meter.receivedBytes
        controller.tick(totalBytes: bytes, inFlight: inFlight.count, now: now)
        meter.sample(inFlight: inFlight.count, now: now)
        if bytes != bytesAtLastProgress || inFlight.isEmpty {
            bytesAtLastProgress = bytes
            lastProgress = now
        } else if lastProgress.duration(to: now) > limits.storeDeadline {
            let waited = limits.storeDeadline.components.seconds
            fail(.noBytes, "no byte from \(client.configuration.endpoint) for \(waited) s\(lastError.map { ": \($0)" } ?? ""); check the network and the store")
        }
        restartSlowTransfers(now: now)
        for (address, flight) in inFlight {
            if let due = flight.resumeAt, due <= now, !isStopping { submit(address) }
        }
        if isStopping {
            for (address, flight) in inFlight where flight.transfer == nil {
                flight.sink.abort()
                inFlight[address] = nil
            }
        }
        pump()
    }

    private func pump() {
        guard !isStopping else { return }
        let now = clock.now
        let rate = medianRate
        while inFlight.count < controller.limit, bucket.isOpen(now: now) {
            let length = runLength.chunks(
                chunkBytes: model.manifest.chunkBytes, medianBytesPerSecond: rate, missingChunks: planner.missing,
                transfers: controller.limit, isLimited: bucket.bytesPerSecond != nil)
            guard let run = planner.next(now: now, upTo: length) else { return }
            let file = model.files[run.file]
            let address = ChunkAddress(file: run.file, chunk: run.chunks.lowerBound)
            do {
                guard let writer = try file.beginChunk(address.chunk, pool: pool) else {
                    for address in run.addresses.reversed() { planner.putBack(address) }
                    return
                }
                let sink = RunSink(run: run, file: file, writer: writer, meter: meter)
                bucket.take(sink.remaining)
                inFlight[address] = InFlight(sink: sink, startedAt: now)
                submit(address)
            } catch .chunkReceived {
                settle(run, retryAt: now)
            } catch .chunkBusy {
                // The writer before has made the chunk received, or given it up, and has not let go of it yet.
                settle(run, retryAt: now + .milliseconds(10))
            } catch {
                fail(.cache(error), "\(error)")
                return
            }
        }
    }

    /// Takes note of what came of a run whose transfer ended: chunks that are there, and those that are to be asked for again.
    private func settle(_ run: ChunkRun, retryAt: ContinuousClock.Instant) {
        for address in run.addresses {
            if !model.files[address.file].isReceived(address.chunk) {
                planner.failed(address, retryAt: retryAt)
            } else if planner.arrived(address) {
                complete(address.file)
            }
        }
    }

    private func submit(_ address: ChunkAddress) {
        guard var flight = inFlight[address] else { return }
        let file = model.files[address.file]
        let entry = model.manifest.files[address.file]
        let sink = flight.sink
        flight.resumeAt = nil
        flight.restartRequested = false
        flight.startedAt = clock.now
        flight.bytesAtStart = sink.receivedBytes
        let range = ObjectRange(
            key: client.configuration.location.prefix + file.key, etag: entry.etag, objectSize: file.size,
            offset: sink.position, length: sink.remaining)
        meter.requested()
        flight.transfer = client.get(range, into: sink) { [weak self] result in
            // On the engine's thread.
            let outcome: Outcome
            switch result {
            case .success: outcome = .arrived
            case .failure(let error):
                if error.kind == .sink, let cause = sink.failure {
                    outcome = .storeFailed(cause)
                } else {
                    outcome = .transferFailed(error)
                }
            }
            guard let self else { return }
            Task { await self.ended(address, outcome) }
        }
        inFlight[address] = flight
    }

    private func ended(_ address: ChunkAddress, _ outcome: Outcome) {
        defer { if isDone { nap?.cancel() } }
        guard var flight = inFlight[address] else { return }
        flight.transfer = nil
        inFlight[address] = flight
        let now = clock.now
        let progress = flight.sink.receivedBytes - flight.bytesAtStart
        switch outcome {
        case .arrived:
            inFlight[address] = nil
            remember(rate: Double(progress) / max(0.001, flight.startedAt.duration(to: now) / .seconds(1)))
            settle(flight.sink.run, retryAt: now)
        case .storeFailed(let error):
            inFlight[address] = nil
            flight.sink.abort()
            switch error {
            case .stale, .chunkReceived, .chunkBusy: settle(flight.sink.run, retryAt: now + .milliseconds(10))
            default: fail(.cache(error), "\(error)")
            }
        case .transferFailed(let error):
            if progress > 0 { flight.fruitlessAttempts = 0 }
            if flight.restartRequested, error.kind == .cancelled, !isStopping {
                inFlight[address] = flight
                submit(address)
                return
            }
            if isStopping || error.kind == .cancelled {
                giveUp(flight, at: address, retryAt: now)
                return
            }
            retry(address, flight, after: error, now: now)
        }
        pump()
    }

    private func giveUp(_ flight: InFlight, at address: ChunkAddress, retryAt: ContinuousClock.Instant) {
        flight.sink.abort()
        inFlight[address] = nil
        settle(flight.sink.run, retryAt: retryAt)
    }

    private func retry(_ address: ChunkAddress, _ failed: InFlight, after error: StoreError, now: ContinuousClock.Instant) {
        var flight = failed
        let name = model.files[address.file].key
        flight.fruitlessAttempts += 1
        lastError = "\(error)"
        meter.retried()
        if error.kind == .throttled {
            meter.wasThrottled()
            controller.throttled(now: now)
        }
        // Full jitter can draw zero; at least a moment lies between two attempts.
        let delay = retryPolicy.delay(afterFailedAttempts: flight.fruitlessAttempts, elapsed: .zero, error: error)
        guard let delay, flight.fruitlessAttempts < limits.maximumFruitlessAttempts else {
            giveUp(flight, at: address, retryAt: now)
            let explanation =
                error.kind == .objectChanged || error.kind == .noSuchKey
                ? "\(name) was replaced or deleted at the store while it was being loaded; start again to load the new version (\(error))"
                : "\(name): \(error)"
            fail(.store(error.kind), explanation)
            return
        }
        logger.debug("transfer failed, trying again", metadata: ["file": "\(name)", "chunk": "\(address.chunk)", "reason": "\(error)"])
        // A long wait gives the staging buffer back; a short one keeps what has come.
        if delay > .seconds(1) {
            giveUp(flight, at: address, retryAt: now + delay)
        } else {
            flight.resumeAt = now + max(delay, .milliseconds(10))
            inFlight[address] = flight
        }
    }

    // MARK: Whole files

    private func complete(_ index: Int) {
        guard completing.insert(index).inserted else { return }
        let file = model.files[index]
        Task.detached { [weak self] in
            // Blocking: some digests read the whole file.
            let result = Result { () throws(ChunkStoreError) in try file.complete() }
            await self?.completed(index, result)
        }
    }

    private func completed(_ index: Int, _ result: Result<Completion, ChunkStoreError>) {
        defer { if isDone { nap?.cancel() } }
        completing.remove(index)
        let file = model.files[index]
        switch result {
        case .success(.published(let verification)):
            logger.info("file complete", metadata: ["file": "\(file.key)", "bytes": "\(file.size)", "verification": "\(verification)"])
        case .success(.refill(let reason)):
            logger.error("whole file's digest is wrong, reading it again", metadata: ["file": "\(file.key)", "reason": "\(reason)"])
            meter.refilled()
            planner.reset(file: index)
        case .success(.failed(let reason)):
            logger.error("file failed", metadata: ["file": "\(file.key)", "reason": "\(reason)"])
            cause.withLock { $0 = $0 ?? .wrongContent }
            planner.abandon(file: index)
        case .failure(let error):
            fail(.cache(error), "\(error)")
        }
        pump()
    }

    /// Nothing more can come: every unfinished file fails with the reason.
    private func fail(_ kind: FillFailure, _ reason: String) {
        cause.withLock { $0 = $0 ?? kind }
        logger.error("fill failed", metadata: ["model": "\(model.id)", "reason": "\(reason)"])
        for file in model.files where file.state == .filling {
            if planner.missingChunks(ofFile: file.index) > 0 { file.fail(reason: reason) }
            planner.abandon(file: file.index)
        }
        stop()
    }

    // MARK: Slow transfers

    private func remember(rate: Double) {
        recentRates.append(rate)
        if recentRates.count > 32 { recentRates.removeFirst() }
    }

    /// Of the transfers that ended lately; nil while there are too few to tell.
    private var medianRate: Double? {
        recentRates.count >= 4 ? recentRates.sorted()[recentRates.count / 2] : nil
    }

    private func restartSlowTransfers(now: ContinuousClock.Instant) {
        guard let median = medianRate else { return }
        for (address, flight) in inFlight {
            guard let transfer = flight.transfer, !flight.restartRequested else { continue }
            let age = flight.startedAt.duration(to: now)
            let rate = Double(flight.sink.receivedBytes - flight.bytesAtStart) / max(0.001, age / .seconds(1))
            guard slowness.shouldRestart(bytesPerSecond: rate, medianBytesPerSecond: median, age: age, restarts: flight.restarts)
            else { continue }
            inFlight[address]?.restarts += 1
            inFlight[address]?.restartRequested = true
            meter.retried()
            client.cancel(transfer)
        }
    }
}
