public import ChunkStore
internal import Foundation
public import Logging
public import ObjectStore
public import Swarm
internal import SwarmPlan
internal import Synchronization

/// Fills one model together with the other nodes that load it, and serves it to them: carries out what a `SwarmPlanner` decides.
///
/// The bytes never pass through this actor: engine threads put them at their place (``BlockSink``). Here blocks are counted,
/// checked against their digests and made visible chunk by chunk. A block has at most one writer at a time: where the planner
/// asks for a second source, the first transfer is ended before the second begins.
///
/// Guarantees: what a peer sent becomes visible only when its digest is the one that whoever read the store announced; the whole
/// file's digest still decides publication. When ``run()`` returns, every file is published or failed; the model is served on
/// until ``close()``.
public actor SwarmFill: Fill {
    struct Flight {
        let block: Int
        let place: BlockLayout.Place
        let assembly: ChunkAssembly
        let sink: BlockSink
        let arrival: Arrival
        /// Nil: the store.
        let peer: SwarmPeer?
        /// Ends the transfer; nil while there is none.
        var cancel: (@Sendable () -> Void)?
        var isCancelled = false
        var reportedBytes: UInt64 = 0
        /// Whole, but nobody has said yet which digest is right.
        var waitsForDigest: UInt64?
        var arrivedAt: SwarmInstant = 0
    }
    /// A fetch that waits until the block's former transfer has ended.
    struct Waiting {
        let fetch: SwarmFetch
        let peer: SwarmPeer?
        let isUrgent: Bool
    }

    let model: CachedModel
    let shared: SharedModel
    let swarm: Swarm
    let peerEngine: TransferEngine
    let limits: FillLimits
    let logger: Logger
    /// Nil while the model is only served.
    var client: StoreClient?
    var net: ModelSwarm?
    var planner: SwarmPlanner
    var flights: [SwarmFetch: Flight] = [:]
    var busy: [Int: SwarmFetch] = [:]
    var waiting: [Int: Waiting] = [:]
    var assemblies: [ChunkAddress: ChunkAssembly] = [:]
    var book = DigestBook()
    /// What each connected peer has announced.
    var announced: [SwarmPeer: BlockSet] = [:]
    /// Bytes of blocks received from each peer.
    var receivedFrom: [SwarmPeer: Int64] = [:]
    var completing: Set<Int> = []
    var events: [SwarmEvent] = []
    var isHandling = false
    var nextTick: SwarmInstant = .max
    var hasStarted = false
    var isStopping = false
    var isClosed = false
    var earlyDemands: [Range<Int>] = []
    var early: [ModelSwarm.Input] = []
    var bucket: RateBucket
    var lastProgress = ContinuousClock.now
    var bytesAtLastProgress: Int64 = 0
    var fatalAnswers = 0
    var lastError: String?
    var refused: [SwarmFetch] = []
    var nap: Task<Void, any Error>?
    var napEnds: SwarmInstant = 0
    var tasks: [Task<Void, Never>] = []
    let origin = ContinuousClock.now
    nonisolated let cause = Mutex<FillFailure?>(nil)
    nonisolated let faults = Mutex<[String: Int64]>([:])

    public nonisolated let meter = FillMeter()
    public nonisolated var failure: FillFailure? { cause.withLock { $0 } }
    /// Bytes that this node sent to others.
    public nonisolated var servedBytes: Int64 { shared.servedBytes }
    /// Bytes of the messages that this node sent to others about who holds what.
    public nonisolated var controlBytes: Int64 { shared.controlBytes }
    /// Peers that sent wrong bytes or asserted wrong digests, by address, with how often.
    public nonisolated var faultyPeers: [String: Int64] { faults.withLock { $0 } }

    public init(
        model: CachedModel, client: StoreClient?, swarm: Swarm, peerEngine: TransferEngine, limits: FillLimits,
        prefetches: Bool = true, logger: Logger
    ) {
        self.model = model
        self.client = client
        self.swarm = swarm
        self.peerEngine = peerEngine
        self.limits = limits
        self.logger = logger
        shared = SharedModel(model)
        var configuration = SwarmPlannerConfiguration(
            me: SwarmPeer(0), blockCount: shared.layout.count, blockBytes: Int(shared.layout.blockBytes),
            seed: .random(in: .min ... .max))
        configuration.order = shared.layout.readingOrder
        configuration.prefetches = prefetches
        planner = SwarmPlanner(configuration)
        bucket = RateBucket(bytesPerSecond: limits.bytesPerSecond, now: .now)
        shared.limitUploads(bytesPerSecond: limits.bytesPerSecond)
    }

    // MARK: Requests

    public func demand(file: Int, offset: UInt64, length: UInt64) {
        guard model.files.indices.contains(file), length > 0, !isStopping else { return }
        let size = shared.layout.fileSizes[file]
        guard offset < size else { return }
        let end = offset.addingReportingOverflow(length)
        let blocks = shared.layout.blocks(file: file, range: offset..<(end.overflow ? size : min(size, end.partialValue)))
        // A chunk becomes visible as a whole: all its blocks are wanted.
        let first = shared.layout.place(of: blocks.lowerBound)
        let last = shared.layout.place(of: blocks.upperBound - 1)
        let wanted = shared.layout.blocks(ofChunk: first.chunk, file: file).lowerBound..<shared.layout.blocks(ofChunk: last.chunk, file: file).upperBound
        if hasStarted { handle(.demand([wanted])) } else { earlyDemands.append(wanted) }
    }

    public func use(_ client: StoreClient) { self.client = client }

    public func limit(bytesPerSecond: Int64?) {
        bucket.set(bytesPerSecond: bytesPerSecond, now: .now)
        shared.limitUploads(bytesPerSecond: bytesPerSecond)
    }

    public func stop() {
        guard !isStopping else { return }
        isStopping = true
        waiting = [:]
        for (fetch, flight) in flights { end(fetch, flight) }
        nap?.cancel()
    }

    /// Ends everything, and waits until nothing writes to the files any more. The model is no longer served.
    public func close() async {
        stop()
        while !flights.isEmpty || !completing.isEmpty { try? await Task.sleep(for: .milliseconds(5)) }
        guard !isClosed else { return }
        isClosed = true
        for task in tasks { task.cancel() }
        nap?.cancel()
        if let net { swarm.leave(net) }
        for assembly in assemblies.values { assembly.abort() }
        assemblies = [:]
        meter.ended()
    }

    // MARK: The run

    public func run() async {
        await launch()
        while !isDone {
            let nap = Task { try await Task.sleep(for: .milliseconds(200)) }
            doneNap = nap
            _ = await nap.result
        }
        meter.ended()
        // A fill that failed gives way to a new one; what is whole is served on.
        if isStopping { await close() }
    }
    var doneNap: Task<Void, any Error>?

    /// Serves a model that is whole already.
    public func serve() async { await launch() }

    var isDone: Bool {
        if isStopping { return flights.isEmpty && completing.isEmpty }
        return flights.isEmpty && completing.isEmpty && model.files.allSatisfy { $0.state != .filling }
    }

    func launch() async {
        guard net == nil, !isStopping else { return }
        await takeUpReceived()
        guard net == nil, !isStopping else { return }
        let net = swarm.join(shared)
        self.net = net
        let held = shared.heldRanges
        if !held.isEmpty { handle(.held(held)) }
        for file in model.files where file.state == .filling && file.receivedChunks == file.chunkCount { complete(file.index) }
        tasks.append(
            Task { [weak self] in
                for await input in net.inputs {
                    guard let self else { return }
                    await self.take(input)
                }
            })
        tasks.append(Task { [weak self] in await self?.turn() })
    }

    /// Digests of what an earlier agent left here; a chunk whose bytes do not have their stored CRC is not shared.
    func takeUpReceived() async {
        let layout = shared.layout
        let shared = shared
        let files = model.files
        await Task.detached {
            for file in files {
                for chunk in 0..<file.chunkCount where file.isReceived(chunk) {
                    for block in layout.blocks(ofChunk: chunk, file: file.index) {
                        if let crc = try? file.checksum(ofBytes: layout.place(of: block).range) { shared.hold(block, digest: crc) }
                    }
                }
            }
        }.value
    }

    /// The clock: ticks for the planner, progress of transfers, deadlines. Until ``close()``.
    func turn() async {
        while !isClosed {
            let now = instant
            let longest: UInt64 = flights.isEmpty && refused.isEmpty ? 300 : 90
            let due = nextTick > now ? min(nextTick - now, .milliseconds(longest)) : 0
            napEnds = now + due
            let nap = Task { try await Task.sleep(for: .nanoseconds(Int64(max(due, 1_000_000)))) }
            self.nap = nap
            _ = await nap.result
            look()
        }
    }

    func look() {
        guard !isClosed else { return }
        let now = instant
        meter.sample(inFlight: flights.count, now: .now)
        let bytes = meter.allBytes
        if bytes != bytesAtLastProgress || flights.isEmpty && model.files.allSatisfy({ $0.state != .filling }) {
            bytesAtLastProgress = bytes
            lastProgress = .now
        } else if lastProgress.duration(to: .now) > limits.storeDeadline, !isStopping {
            fail(.noBytes, "no byte from \(client.map { "\($0.configuration.endpoint)" } ?? "the store") nor from a peer for \(limits.storeDeadline.components.seconds) s\(lastError.map { ": \($0)" } ?? ""); check the network and the store")
        }
        let late = refused
        refused = []
        for fetch in late { handle(.failed(fetch, .notBegun)) }
        for (fetch, flight) in flights where flight.cancel != nil && !flight.isCancelled {
            let bytes = flight.sink.receivedBytes
            if bytes > flight.reportedBytes {
                flights[fetch]?.reportedBytes = bytes
                handle(.progress(fetch, bytes: Int(bytes - flight.reportedBytes)))
            }
        }
        for (fetch, flight) in flights where flight.waitsForDigest != nil && now - flight.arrivedAt > .seconds(5) {
            drop(fetch, flight)
            handle(.failed(fetch, .broken))
        }
        if nextTick <= now {
            nextTick = .max
            handle(.tick)
        }
    }

    var instant: SwarmInstant {
        let span = origin.duration(to: .now).components
        return UInt64(span.seconds) * 1_000_000_000 + UInt64(span.attoseconds / 1_000_000_000) + 1
    }

    // MARK: The planner

    /// Events that actions cause are handled after them, in order.
    func handle(_ event: SwarmEvent) {
        events.append(event)
        guard !isHandling else { return }
        isHandling = true
        while !events.isEmpty {
            let event = events.removeFirst()
            for action in planner.handle(event, at: instant) { carryOut(action) }
        }
        isHandling = false
    }

    func carryOut(_ action: SwarmAction) {
        guard let net else { return }
        switch action {
        case .connect(let peer): net.connect(peer)
        case .disconnect(let peer): net.disconnect(peer)
        case .sendMap(let peer): net.send(planner.map, to: peer)
        case .announce(let delta, let peers): net.send(delta, to: peers)
        case .fetchFromStore(let fetch, let block, let reason):
            if reason != .owner {
                logger.debug("read from the store by another than its owner", metadata: ["model": "\(model.id)", "block": "\(block)", "reason": "\(reason)"])
            }
            begin(fetch, block, Waiting(fetch: fetch, peer: nil, isUrgent: false))
        case .fetchFromPeer(let fetch, let peer, let block, let urgent):
            if book.isLiar(peer.index) { return handle(.failed(fetch, .corrupt)) }
            begin(fetch, block, Waiting(fetch: fetch, peer: book.needsStore(block) ? nil : peer, isUrgent: urgent))
        case .cancel(let fetch):
            if let flight = flights[fetch] { end(fetch, flight) }
            for (block, one) in waiting where one.fetch == fetch { waiting[block] = nil }
        case .shun(let peer, let until, let why):
            logger.notice("peer shunned", metadata: [
                "model": "\(model.id)", "peer": "\(net.address(of: peer).map { "\($0)" } ?? "?")", "reason": "\(why)",
                "seconds": "\((until - min(until, instant)) / 1_000_000_000)",
            ])
        case .tick(let at):
            nextTick = at
            if at < napEnds { nap?.cancel() }
        case .complete: break
        }
    }

    // MARK: Fetches

    func begin(_ fetch: SwarmFetch, _ block: Int, _ wanted: Waiting) {
        guard !isStopping, !isClosed else { return }
        if let former = busy[block], let flight = flights[former] {
            if let replaced = waiting.updateValue(wanted, forKey: block) { refuse(replaced.fetch) }
            // A second source for a block: the first has been too slow.
            if !flight.isCancelled { overtake(former, flight) }
            return
        }
        guard bucket.isOpen(now: .now) else { return refuse(fetch) }
        if case .held = shared.blockState(block) { return handle(.received(fetch)) }
        let place = shared.layout.place(of: block)
        let file = model.files[place.file]
        guard file.state == .filling else { return refuse(fetch) }
        let assembly: ChunkAssembly
        do {
            assembly = try self.assembly(place)
        } catch {
            if case .chunkBusy = error { return refuse(fetch) }
            if case .chunkReceived = error { return refuse(fetch) }
            return fail(.cache(error), "\(error)")
        }
        guard let writer = assembly.writer(forBlock: place.blockOfChunk) else { return refuse(fetch) }
        bucket.take(UInt64(place.range.count))
        let arrival = Arrival()
        let sink = BlockSink(writer: writer, arrival: arrival, meter: meter, isFromPeer: wanted.peer != nil)
        flights[fetch] = Flight(block: block, place: place, assembly: assembly, sink: sink, arrival: arrival, peer: wanted.peer)
        busy[block] = fetch
        shared.begin(block, arrival)
        submit(fetch, isUrgent: wanted.isUrgent)
    }

    /// A fetch that cannot begin now. The planner hears of it a little later, since it would ask again at once.
    func refuse(_ fetch: SwarmFetch) { refused.append(fetch) }

    func assembly(_ place: BlockLayout.Place) throws(ChunkStoreError) -> ChunkAssembly {
        let address = ChunkAddress(file: place.file, chunk: place.chunk)
        if let assembly = assemblies[address] { return assembly }
        let assembly = try model.files[place.file].assembleChunk(place.chunk, blockBytes: shared.layout.blockBytes)
        assemblies[address] = assembly
        return assembly
    }

    func submit(_ fetch: SwarmFetch, isUrgent: Bool) {
        guard let flight = flights[fetch], let net else { return }
        let file = model.files[flight.place.file]
        let entry = model.manifest.files[flight.place.file]
        let range = flight.place.range
        let completion: @Sendable (Result<RangeReceipt, StoreError>) -> Void = { [weak self] result in
            guard let self else { return }
            Task { await self.ended(fetch, result.map { _ in }, isUrgent: isUrgent) }
        }
        if let peer = flight.peer {
            guard let (url, headers) = net.request(to: peer, file: flight.place.file) else {
                drop(fetch, flight)
                return handle(.failed(fetch, .broken))
            }
            let engine = peerEngine
            let transfer = engine.get(
                url: url, headers: headers + (isUrgent ? ["Priority: u=0"] : []),
                range: ObjectRange(key: file.key, etag: "", objectSize: file.size, offset: range.lowerBound, length: UInt64(range.count)),
                into: flight.sink, completion: completion)
            flights[fetch]?.cancel = { engine.cancel(transfer) }
        } else if let client {
            meter.requested()
            let transfer = client.get(
                ObjectRange(
                    key: client.configuration.location.prefix + file.key, etag: entry.etag, objectSize: file.size,
                    offset: range.lowerBound, length: UInt64(range.count)),
                into: flight.sink, completion: completion)
            flights[fetch]?.cancel = { client.cancel(transfer) }
        } else {
            drop(fetch, flight)
            refuse(fetch)
        }
    }

    /// Ends a transfer; its end is awaited before the block's bytes are anybody else's.
    func end(_ fetch: SwarmFetch, _ flight: Flight) {
        flights[fetch]?.isCancelled = true
        if flight.waitsForDigest != nil { return drop(fetch, flight) }
        flight.cancel?()
    }

    func overtake(_ fetch: SwarmFetch, _ flight: Flight) {
        end(fetch, flight)
        // Its peer was slow for this one block: no reason to shun it.
        handle(.failed(fetch, .notBegun))
    }

    /// The flight is over without its block.
    func drop(_ fetch: SwarmFetch, _ flight: Flight) {
        flights[fetch] = nil
        busy[flight.block] = nil
        shared.end(flight.block, flight.arrival)
        if let next = waiting.removeValue(forKey: flight.block) { begin(next.fetch, flight.block, next) }
    }

    func ended(_ fetch: SwarmFetch, _ result: Result<Void, StoreError>, isUrgent: Bool) {
        defer { if isDone { doneNap?.cancel() } }
        guard var flight = flights[fetch] else { return }
        flight.cancel = nil
        flights[fetch] = flight
        switch result {
        case .success:
            flights[fetch]?.waitsForDigest = flight.sink.writer.checksum
            flights[fetch]?.arrivedAt = instant
            if let flight = flights[fetch] { judge(fetch, flight) }
        case .failure(let error):
            if let cause = flight.sink.failure {
                drop(fetch, flight)
                if case .stale = cause { return refuse(fetch) }
                return fail(.cache(cause), "\(cause)")
            }
            if let peer = flight.peer, error.status == 404, !flight.isCancelled, net?.tryNextKey(for: peer) == true {
                return submit(fetch, isUrgent: isUrgent)
            }
            drop(fetch, flight)
            guard !flight.isCancelled, !isStopping else { return }
            lastError = "\(error)"
            if flight.peer != nil {
                handle(.failed(fetch, error.status == 416 || error.status == 404 ? .notThere : .broken))
            } else {
                storeFailed(fetch, flight, error)
            }
        }
    }

    func storeFailed(_ fetch: SwarmFetch, _ flight: Flight, _ error: StoreError) {
        meter.retried()
        let name = model.files[flight.place.file].key
        logger.debug("read from the store failed", metadata: ["file": "\(name)", "block": "\(flight.block)", "reason": "\(error)"])
        switch error.kind {
        case .objectChanged, .noSuchKey:
            fail(.store(error.kind), "\(name) was replaced or deleted at the store while it was being loaded; start again to load the new version (\(error))")
            return
        case .throttled:
            meter.wasThrottled()
            let wait = error.retryAfter ?? .milliseconds(500)
            handle(.storeThrottled(until: instant + UInt64(max(0, wait / .nanoseconds(1)))))
        case _ where !error.isRetryable:
            fatalAnswers += 1
            if fatalAnswers >= 3 { return fail(.store(error.kind), "\(name): \(error)") }
        default: break
        }
        handle(.failed(fetch, .broken))
    }
}
