internal import ChunkStore
internal import ObjectStore
internal import RangeTransfer
internal import Swarm
internal import Synchronization

/// Carries the bytes of one fetch from an engine's thread into the file: one block, or one chunk after the other, each
/// of which is made received as soon as it is complete.
///
/// `@unchecked Sendable`: one thread at a time by contract, the engine's while a transfer is under way, the fill's
/// before and after it. A resumed transfer goes on at ``position``. The counters may be read from anywhere.
final class FetchSink: RangeSink, @unchecked Sendable {
    /// Takes a writer whose block is complete, and gives the writer of what follows; nil: nothing does.
    typealias Next = @Sendable (BlockWriter) throws(ChunkStoreError) -> BlockWriter?

    /// Of the file, bytes.
    let range: Range<UInt64>
    /// Nil when all of it is received, or the fetch was ended.
    private var writer: BlockWriter?
    /// The error with which the cache refused bytes.
    private(set) var failure: ChunkStoreError?

    private let meter: FillMeter
    /// Of a block that others take on as it comes; its bytes count once they are in the file.
    private let arrival: Arrival?
    private let isFromPeer: Bool
    private let next: Next
    private let stale: ChunkStoreError
    private let received = Atomic<Int64>(0)

    /// Of several chunks.
    ///
    /// - Parameter writer: of the first chunk.
    init(_ range: Range<UInt64>, writer: BlockWriter, meter: FillMeter, next: @escaping Next) {
        self.range = range
        self.writer = writer
        self.meter = meter
        self.next = next
        stale = writer.stale
        arrival = nil
        isFromPeer = false
    }

    /// Of one block, which is taken from `writer` when it is complete.
    init(writer: BlockWriter, arrival: Arrival, meter: FillMeter, isFromPeer: Bool) {
        range = writer.range
        self.writer = writer
        self.arrival = arrival
        self.meter = meter
        self.isFromPeer = isFromPeer
        next = { _ in nil }
        stale = writer.stale
    }

    /// How far it is; any thread may ask.
    var progress: FillMachine.Progress {
        let count = received.load(ordering: .relaxed)
        return FillMachine.Progress(received: count, position: range.lowerBound + UInt64(count))
    }
    /// Where a transfer is to begin.
    var position: UInt64 { writer?.position ?? range.upperBound }
    /// Bytes still to come.
    var remaining: UInt64 { range.upperBound - position }

    func receive(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let writer = try current()
            let before = writer.written
            let part = bytes[done..<min(bytes.count, done + Int(writer.remaining))]
            try noting { () throws(ChunkStoreError) in try writer.append(UnsafeRawBufferPointer(rebasing: part)) }
            done += part.count
            try took(part.count, writer, before)
        }
    }

    /// The chunk's own pages, where they are mapped.
    func withSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws {
        let writer = try current()
        let before = writer.written
        var count = 0
        try noting { () throws(ChunkStoreError) in
            try writer.withFreeSpace {
                count = body($0)
                return count
            }
        }
        if count > 0 { try took(count, writer, before) }
    }

    /// Lets go of what is under way without its bytes.
    func abort() {
        writer?.end()
        writer = nil
    }

    private func current() throws -> BlockWriter {
        if let writer { return writer }
        let failure = failure ?? stale
        self.failure = failure
        throw failure
    }

    private func took(_ count: Int, _ writer: BlockWriter, _ before: UInt64) throws {
        received.wrappingAdd(Int64(count), ordering: .relaxed)
        arrival?.advance(by: Int(writer.written - before))
        if isFromPeer { meter.receivedFromPeer(count) } else { meter.received(count) }
        guard writer.remaining == 0 else { return }
        self.writer = nil
        try noting { () throws(ChunkStoreError) in self.writer = try next(writer) }
    }

    private func noting(_ body: () throws(ChunkStoreError) -> Void) throws {
        do {
            try body()
        } catch {
            failure = error
            throw error
        }
    }
}
