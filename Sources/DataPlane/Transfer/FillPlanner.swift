/// Decides which chunk of a model to fetch next. A pure value: events in, one address out.
///
/// Three sources of work, in this order:
///
/// 1. **Demands**: a reader waits for the chunk. First come, first served.
/// 2. **Read-ahead**: the chunks that follow the latest demand in its file, a short window. A reader
///    that jumped somewhere will most likely go on from there, and must not pay one round trip a chunk.
/// 3. **Prefetch**: head and tail of every file (llama.cpp reads each file's metadata there before it
///    maps anything), then everything in file order, which is the order llama.cpp loads in.
///
/// A chunk whose transfer failed comes back after its back-off, unless a reader demands it sooner than
/// that: back-off protects the store, so a demand does not shorten it.
///
/// One transfer may bring several consecutive chunks (``next(now:upTo:)``): each is visible as soon as it is whole, and the store is
/// asked less often. Heads and tails go alone: they are what a loading program waits for first.
///
/// Every chunk is handed out to at most one transfer at a time. Each event costs constant time, but for
/// ``reset(file:)``, which costs the chunks of one file.
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
    private let prefetchOrder: [ChunkAddress]
    /// So many entries of `prefetchOrder` are heads and tails.
    private let edges: Int
    private var prefetchCursor = 0
    private var demands: [ChunkAddress] = []
    private var demandsHead = 0
    private var backingOff: [ChunkAddress: Instant] = [:]
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
        prefetchOrder = Self.prefetchOrder(chunkCounts)
        edges = chunkCounts.reduce(0) { $0 + min($1, 2) }
        for file in chunkCounts.indices {
            for chunk in 0..<chunkCounts[file] where isPresent(ChunkAddress(file: file, chunk: chunk)) {
                states[base[file] + chunk] = .present
                missingPerFile[file] -= 1
            }
        }
        missing = missingPerFile.reduce(0, +)
    }

    static func prefetchOrder(_ chunkCounts: [Int]) -> [ChunkAddress] {
        var order: [ChunkAddress] = []
        for (file, count) in chunkCounts.enumerated() where count > 0 {
            order.append(ChunkAddress(file: file, chunk: 0))
        }
        for (file, count) in chunkCounts.enumerated() where count > 1 {
            order.append(ChunkAddress(file: file, chunk: count - 1))
        }
        for (file, count) in chunkCounts.enumerated() where count > 2 {
            for chunk in 1..<(count - 1) { order.append(ChunkAddress(file: file, chunk: chunk)) }
        }
        return order
    }

    // MARK: Questions

    /// Chunks of `file` that are not present.
    public func missingChunks(ofFile file: Int) -> Int { missingPerFile[file] }

    /// Whether every chunk of every file that was not abandoned is present.
    public var isComplete: Bool { missingPerFile.allSatisfy { $0 == 0 } }

    // MARK: Work

    /// The next chunk to fetch, now in flight; nil when there is nothing to do at `now`.
    public mutating func next(now: Instant) -> ChunkAddress? {
        guard let (address, _) = pick(now: now) else { return nil }
        states[index(address)] = .inFlight
        return address
    }

    /// As ``next(now:)``, with the chunks that follow in the file as long as they are wanted too, `count` at most.
    public mutating func next(now: Instant, upTo count: Int) -> ChunkRun? {
        guard let (first, mayGoOn) = pick(now: now) else { return nil }
        states[index(first)] = .inFlight
        var end = first.chunk + 1
        let chunks = base[first.file + 1] - base[first.file]
        while mayGoOn, end < chunks, end - first.chunk < count {
            let state = states[base[first.file] + end]
            // Where nothing is fetched ahead, a run goes no further than the demands.
            guard state == .demanded || (state == .missing && prefetches) else { break }
            states[base[first.file] + end] = .inFlight
            end += 1
        }
        return ChunkRun(file: first.file, chunks: first.chunk..<end)
    }

    private mutating func pick(now: Instant) -> (ChunkAddress, mayGoOn: Bool)? {
        while demandsHead < demands.count {
            let address = demands[demandsHead]
            demandsHead += 1
            if demandsHead == demands.count {
                demands.removeAll(keepingCapacity: true)
                demandsHead = 0
            }
            if states[index(address)] == .demanded { return (address, true) }
        }
        if !backingOff.isEmpty,
            let due = backingOff.filter({ $0.value <= now }).keys.min()
        {
            backingOff[due] = nil
            return (due, false)
        }
        while let ahead = readAhead {
            if ahead.next.chunk >= ahead.end {
                readAhead = nil
                break
            }
            readAhead = (ChunkAddress(file: ahead.next.file, chunk: ahead.next.chunk + 1), ahead.end)
            if states[index(ahead.next)] == .missing { return (ahead.next, true) }
        }
        guard prefetches else { return nil }
        while let address = returned.popLast() {
            if states[index(address)] == .missing { return (address, true) }
        }
        while prefetchCursor < prefetchOrder.count {
            let address = prefetchOrder[prefetchCursor]
            prefetchCursor += 1
            if states[index(address)] == .missing { return (address, prefetchCursor > edges) }
        }
        return nil
    }

    // MARK: Events

    /// A reader waits for these chunks of `file`. Indices outside the file are ignored: the request came
    /// from another process.
    public mutating func demand(file: Int, chunks: Range<Int>) {
        guard missingPerFile.indices.contains(file) else { return }
        let count = base[file + 1] - base[file]
        let wanted = chunks.clamped(to: 0..<count)
        guard !wanted.isEmpty else { return }
        for chunk in wanted {
            let address = ChunkAddress(file: file, chunk: chunk)
            guard states[index(address)] == .missing else { continue }
            states[index(address)] = .demanded
            demands.append(address)
        }
        let end = min(count, wanted.upperBound + readAheadChunks)
        readAhead = (ChunkAddress(file: file, chunk: wanted.upperBound), end)
    }

    /// The chunk arrived. Returns whether this was the file's last missing one.
    @discardableResult
    public mutating func arrived(_ address: ChunkAddress) -> Bool {
        guard states[index(address)] != .present else { return false }
        guard states[index(address)] != .abandoned else { return false }
        states[index(address)] = .present
        backingOff[address] = nil
        missingPerFile[address.file] -= 1
        missing -= 1
        return missingPerFile[address.file] == 0
    }

    /// The transfer failed; the chunk may be handed out again from `retryAt`.
    public mutating func failed(_ address: ChunkAddress, retryAt: Instant) {
        guard states[index(address)] == .inFlight else { return }
        states[index(address)] = .backingOff
        backingOff[address] = retryAt
    }

    /// A chunk handed out was not started after all (no buffer was free): first in line again.
    public mutating func putBack(_ address: ChunkAddress) {
        guard states[index(address)] == .inFlight else { return }
        states[index(address)] = .demanded
        demands.insert(address, at: demandsHead)
    }

    /// The whole file's digest was wrong: every chunk of it is missing again.
    ///
    /// To be called only when none of its chunks is in flight.
    public mutating func reset(file: Int) {
        let count = base[file + 1] - base[file]
        for chunk in (0..<count).reversed() {
            let address = ChunkAddress(file: file, chunk: chunk)
            states[index(address)] = .missing
            backingOff[address] = nil
            returned.append(address)
        }
        missing += count - missingPerFile[file]
        missingPerFile[file] = count
    }

    /// The file cannot be completed: none of its chunks is handed out any more.
    public mutating func abandon(file: Int) {
        for chunk in 0..<(base[file + 1] - base[file]) {
            let address = ChunkAddress(file: file, chunk: chunk)
            guard states[index(address)] != .present else { continue }
            states[index(address)] = .abandoned
            backingOff[address] = nil
        }
        missing -= missingPerFile[file]
        missingPerFile[file] = 0
    }

    private func index(_ address: ChunkAddress) -> Int { base[address.file] + address.chunk }
}
