internal import DequeModule

/// Decides which chunk of a model to fetch next. A pure value: events in, one address out.
///
/// Four sources of work, in this order:
///
/// 1. **Demands**: a reader waits for the chunk. First come, first served.
/// 2. **Predictions**: a reader will wait for the chunk next, since it is of the same expert (``FileLayout``).
/// 3. **Read-ahead**: the chunks that follow the latest demand in its file, a short window. A reader
///    that jumped somewhere will most likely go on from there, and must not pay one round trip a chunk.
/// 4. **Prefetch**: head and tail of every file (llama.cpp reads each file's metadata there before it
///    maps anything), then file by file, those that a program reads first. In a file whose layout is known what every
///    token needs comes first; in another the file's order, which is the order llama.cpp loads in.
///
/// A chunk whose transfer failed comes back after its back-off: that protects the store, so a demand does not shorten
/// it. But it comes back as the demand that it is.
///
/// One transfer may bring several consecutive chunks (``next(now:upTo:)``): each is visible as soon as it is whole,
/// and the store is asked less often. Heads and tails go alone: they are what a loading program waits for first.
///
/// Every chunk is handed out to at most one transfer at a time. Each event costs constant time, but for
/// ``reset(file:)`` and ``learn(_:file:)``, which cost the chunks of one file, and a file's first demand, which costs
/// the number of files.
public struct FillPlanner: Sendable {
    public typealias Instant = ContinuousClock.Instant

    private enum ChunkState: Sendable, Equatable {
        case missing
        case demanded
        case inFlight
        case backingOff
        case present
        /// The file failed for good; nobody fetches it.
        case abandoned
    }

    private let base: [Int]
    private var states: [ChunkState]
    private var missingPerFile: [Int]
    /// Chunks of all files that are not present.
    public private(set) var missing: Int
    /// Heads and tails.
    private let edges: [ChunkAddress]
    private var edgeCursor = 0
    private var prefetchOrder: PrefetchOrder
    private var demands = Deque<ChunkAddress>()
    private var predictionQueue = Deque<ChunkAddress>()
    /// Chunks that were predicted, not demanded, and have not been handed out.
    private var predicted: Set<ChunkAddress> = []
    private var backingOff: [ChunkAddress: Instant] = [:]
    /// Chunks that a reader asked for, or will, and that have not come, whatever their state.
    private var wanted: Set<ChunkAddress> = []
    /// Chunks whose state is `demanded`, and `missing`.
    private var demandedCount = 0
    private var idleCount = 0
    private var readAhead: (next: ChunkAddress, end: Int)?
    /// Chunks that `reset` returned to the pool and the cursor has already passed.
    private var returned: [ChunkAddress] = []

    /// Whether chunks nobody asked for are fetched too.
    public var prefetches: Bool
    /// How many chunks past a demand are fetched ahead of the ordinary prefetch.
    public let readAheadChunks: Int

    /// - Parameters:
    ///   - chunkCounts: chunks of each file, in manifest order; 0 for an empty file.
    ///   - isPresent: what is there already, asked once for every chunk.
    public init(
        chunkCounts: [Int], prefetches: Bool = true, readAheadChunks: Int = 8,
        isPresent: (ChunkAddress) -> Bool = { _ in false }
    ) {
        precondition(chunkCounts.allSatisfy { $0 >= 0 } && readAheadChunks >= 0, "a number of chunks is not negative")
        self.prefetches = prefetches
        self.readAheadChunks = readAheadChunks
        var base: [Int] = []
        var total = 0
        for count in chunkCounts {
            base.append(total)
            total += count
        }
        base.append(total)
        self.base = base
        states = Array(repeating: .missing, count: total)
        missingPerFile = chunkCounts
        edges = Self.edges(chunkCounts)
        prefetchOrder = PrefetchOrder(chunkCounts: chunkCounts)
        for file in chunkCounts.indices {
            for chunk in 0..<chunkCounts[file] where isPresent(ChunkAddress(file: file, chunk: chunk)) {
                states[base[file] + chunk] = .present
                missingPerFile[file] -= 1
            }
        }
        missing = missingPerFile.reduce(0, +)
        idleCount = missing
    }

    private static func edges(_ chunkCounts: [Int]) -> [ChunkAddress] {
        let files = chunkCounts.enumerated()
        return files.filter { $0.element > 0 }.map { ChunkAddress(file: $0.offset, chunk: 0) }
            + files.filter { $0.element > 1 }.map { ChunkAddress(file: $0.offset, chunk: $0.element - 1) }
    }

    // MARK: Questions

    /// Chunks of `file` that are not present.
    public func missingChunks(ofFile file: Int) -> Int { missingPerFile[file] }

    /// Whether every chunk of every file that was not abandoned is present.
    public var isComplete: Bool { missingPerFile.allSatisfy { $0 == 0 } }

    func chunkCount(ofFile file: Int) -> Int { base[file + 1] - base[file] }

    /// Chunks that were predicted and have not been handed out.
    var predictions: Int { predicted.count }

    /// Whether the file has its first `count` chunks.
    func hasBeginning(ofFile file: Int, chunks count: Int) -> Bool {
        states[base[file]..<min(base[file] + count, base[file + 1])].allSatisfy { $0 == .present }
    }

    /// Chunks that may be fetched at `now`: those that a reader waits for, those that it will, and others.
    public func ready(now: Instant) -> (demands: Int, predictions: Int, others: Int) {
        let due = backingOff.filter { $0.value <= now }
        let urgent = due.count { wanted.contains($0.key) }
        let ahead = prefetches ? idleCount : idleReadAhead
        return (demandedCount - predicted.count + urgent, predicted.count, due.count - urgent + ahead)
    }

    /// Whether a reader waits for a chunk that is missing, or will.
    public var hasDemands: Bool { !wanted.isEmpty }

    private var idleReadAhead: Int {
        guard let readAhead, readAhead.next.chunk < readAhead.end else { return 0 }
        let file = readAhead.next.file
        return (readAhead.next.chunk..<readAhead.end).count { states[base[file] + $0] == .missing }
    }

    /// The last chunk of the run that a reader waits for, or will; nil: none.
    public func lastWanted(in run: ChunkRun) -> Int? {
        wanted.isEmpty ? nil : run.chunks.last { wanted.contains(ChunkAddress(file: run.file, chunk: $0)) }
    }

    // MARK: Work

    /// The next chunk to fetch, now in flight; nil when there is nothing to do at `now`.
    public mutating func next(now: Instant) -> ChunkAddress? {
        next(now: now, upTo: 1).map { ChunkAddress(file: $0.file, chunk: $0.chunks.lowerBound) }
    }

    /// Which chunk may begin a run.
    public enum Kind: Sendable { case demand, prediction, any }

    /// How a run goes on.
    private enum Continuation {
        case never
        /// With what a reader waits for.
        case wanted
        /// With what is of the same use.
        case alike
    }

    /// As ``next(now:)``, with the chunks that follow in the file as long as they are wanted too, `count` at most.
    ///
    /// - Parameter least: `demand`: only a chunk that a reader waits for may begin the run; `prediction`: also one that
    ///   it will wait for.
    public mutating func next(now: Instant, upTo count: Int, least: Kind = .any) -> ChunkRun? {
        precondition(count > 0, "a run has a chunk")
        guard let (first, continuation) = pick(now: now, least) else { return nil }
        take(first)
        var end = first.chunk + 1
        let chunks = base[first.file + 1] - base[first.file]
        let use = prefetchOrder.use(of: first)
        while continuation != .never, end < chunks, end - first.chunk < count {
            let next = ChunkAddress(file: first.file, chunk: end)
            let state = states[index(next)]
            // Where nothing is fetched ahead, a run goes no further than the demands.
            let isAlike =
                state == .missing && prefetches && continuation == .alike && prefetchOrder.use(of: next) == use
            guard state == .demanded || isAlike else { break }
            take(next)
            end += 1
        }
        return ChunkRun(file: first.file, chunks: first.chunk..<end)
    }

    private mutating func take(_ address: ChunkAddress) {
        set(.inFlight, address)
        predicted.remove(address)
    }

    /// The chunk, and how its run may go on.
    private mutating func pick(now: Instant, _ least: Kind) -> (ChunkAddress, Continuation)? {
        while let address = demands.popFirst() {
            if states[index(address)] == .demanded { return (address, afterDemand(address)) }
        }
        if let due = nextDue(now: now, demandsOnly: least != .any) {
            backingOff[due] = nil
            return (due, .never)
        }
        if least == .demand { return nil }
        while let address = predictionQueue.popFirst() {
            if predicted.contains(address) { return (address, .wanted) }
        }
        return least == .any ? pickAhead() : nil
    }

    /// A demand for an expert says nothing about the experts beside it.
    private func afterDemand(_ address: ChunkAddress) -> Continuation {
        prefetchOrder.use(of: address) == .expert ? .wanted : .alike
    }

    private mutating func pickAhead() -> (ChunkAddress, Continuation)? {
        while let ahead = readAhead {
            if ahead.next.chunk >= ahead.end {
                readAhead = nil
                break
            }
            readAhead = (ChunkAddress(file: ahead.next.file, chunk: ahead.next.chunk + 1), ahead.end)
            if states[index(ahead.next)] == .missing { return (ahead.next, .alike) }
        }
        guard prefetches else { return nil }
        while let address = returned.popLast() {
            if states[index(address)] == .missing { return (address, .alike) }
        }
        while edgeCursor < edges.count {
            let address = edges[edgeCursor]
            edgeCursor += 1
            if states[index(address)] == .missing { return (address, .never) }
        }
        while let address = prefetchOrder.next() {
            if states[index(address)] == .missing { return (address, .alike) }
        }
        return nil
    }

    private func nextDue(now: Instant, demandsOnly: Bool) -> ChunkAddress? {
        if backingOff.isEmpty { return nil }
        let due = backingOff.filter { $0.value <= now }.keys
        return due.filter { wanted.contains($0) }.min() ?? (demandsOnly ? nil : due.min())
    }

    // MARK: Events

    /// The use of each chunk of a file.
    package mutating func learn(_ uses: [ChunkUse], file: Int) {
        prefetchOrder.learn(uses, file: file)
        guard let ahead = readAhead, ahead.next.file == file, ahead.next.chunk < ahead.end else { return }
        // The demand came before anybody knew what follows it.
        let expert = (ahead.next.chunk..<ahead.end).first { uses[$0] == .expert }
        readAhead = (ahead.next, expert ?? ahead.end)
    }

    /// A reader waits for these chunks of `file`. Indices outside the file are ignored: the request came
    /// from another process.
    ///
    /// - Returns: how many of them nobody had asked for and are to come before all else: those that are not on their
    ///   way, experts, and the file's first.
    @discardableResult
    public mutating func demand(file: Int, chunks: Range<Int>) -> Int {
        guard missingPerFile.indices.contains(file) else { return 0 }
        let count = base[file + 1] - base[file]
        let range = chunks.clamped(to: 0..<count)
        guard !range.isEmpty else { return 0 }
        prefetchOrder.opened(file)
        var new = 0
        for chunk in range {
            let address = ChunkAddress(file: file, chunk: chunk)
            let state = states[index(address)]
            guard state != .present, state != .abandoned else { continue }
            let isFirst = state == .missing || chunk == 0 || prefetchOrder.use(of: address) == .expert
            if wanted.insert(address).inserted, isFirst { new += 1 }
            guard state == .missing || predicted.remove(address) != nil else { continue }
            set(.demanded, address)
            demands.append(address)
        }
        let isExpert = prefetchOrder.use(of: ChunkAddress(file: file, chunk: range.upperBound - 1)) == .expert
        let end = min(count, range.upperBound + (isExpert ? 0 : readAheadChunks))
        readAhead = (ChunkAddress(file: file, chunk: range.upperBound), end)
        return new
    }

    /// A reader will wait for these chunks: they come after what is demanded.
    ///
    /// - Returns: how many of them nobody had asked for.
    @discardableResult
    package mutating func predict(file: Int, chunks: Range<Int>) -> Int {
        var new = 0
        for chunk in chunks.clamped(to: 0..<base[file + 1] - base[file]) {
            let address = ChunkAddress(file: file, chunk: chunk)
            switch states[index(address)] {
            case .present, .abandoned, .demanded: continue
            case .missing:
                set(.demanded, address)
                predicted.insert(address)
                predictionQueue.append(address)
            case .inFlight, .backingOff: break
            }
            if wanted.insert(address).inserted { new += 1 }
        }
        return new
    }

    /// The chunk arrived. Returns whether this was the file's last missing one.
    ///
    /// The file may have been abandoned while the chunk was on its way.
    @discardableResult
    public mutating func arrived(_ address: ChunkAddress) -> Bool {
        let state = states[index(address)]
        guard state != .present, state != .abandoned else { return false }
        set(.present, address)
        backingOff[address] = nil
        predicted.remove(address)
        wanted.remove(address)
        precondition(missingPerFile[address.file] > 0 && missing > 0, "more chunks came than the file lacks")
        missingPerFile[address.file] -= 1
        missing -= 1
        return missingPerFile[address.file] == 0
    }

    /// The transfer failed; the chunk may be handed out again from `retryAt`.
    ///
    /// The file may have been abandoned while the transfer was under way.
    public mutating func failed(_ address: ChunkAddress, retryAt: Instant) {
        guard states[index(address)] == .inFlight else { return }
        set(.backingOff, address)
        backingOff[address] = retryAt
    }

    /// The complete file's digest was wrong: every chunk of it is missing again.
    ///
    /// A chunk that was lost and is in flight again stays so.
    public mutating func reset(file: Int) {
        let count = base[file + 1] - base[file]
        for chunk in (0..<count).reversed() {
            let address = ChunkAddress(file: file, chunk: chunk)
            guard states[index(address)] != .inFlight else { continue }
            predicted.remove(address)
            set(.missing, address)
            backingOff[address] = nil
            returned.append(address)
        }
        missing += count - missingPerFile[file]
        missingPerFile[file] = count
    }

    /// The chunk was present and its bytes were found wrong: it is missing again. Nothing for one that is not present.
    public mutating func lost(_ address: ChunkAddress) {
        guard states[index(address)] == .present else { return }
        set(.missing, address)
        returned.append(address)
        missing += 1
        missingPerFile[address.file] += 1
    }

    /// The file cannot be completed: none of its chunks is handed out any more.
    public mutating func abandon(file: Int) {
        for chunk in 0..<(base[file + 1] - base[file]) {
            let address = ChunkAddress(file: file, chunk: chunk)
            wanted.remove(address)
            predicted.remove(address)
            guard states[index(address)] != .present else { continue }
            set(.abandoned, address)
            backingOff[address] = nil
        }
        missing -= missingPerFile[file]
        missingPerFile[file] = 0
    }

    private mutating func set(_ state: ChunkState, _ address: ChunkAddress) {
        count(states[index(address)], -1)
        states[index(address)] = state
        count(state, 1)
    }

    private mutating func count(_ state: ChunkState, _ step: Int) {
        switch state {
        case .missing: idleCount += step
        case .demanded: demandedCount += step
        default: break
        }
        precondition(idleCount >= 0 && demandedCount >= 0, "a chunk leaves each state as often as it came to it")
    }

    private func index(_ address: ChunkAddress) -> Int {
        precondition(address.chunk >= 0 && address.chunk < chunkCount(ofFile: address.file), "a chunk of the next file")
        return base[address.file] + address.chunk
    }
}
