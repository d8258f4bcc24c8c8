internal import ChunkStore
internal import ObjectStore
internal import Synchronization

/// Carries the bytes of a run of chunks from the engine's thread into the file: each chunk is made received as soon as it is whole.
///
/// `@unchecked Sendable`: one thread at a time by contract, the engine's while a transfer is under way, the fill's before and after
/// it. A resumed transfer goes on at ``position``. The counters may be read from anywhere.
final class RunSink: RangeSink, @unchecked Sendable {
    let run: ChunkRun
    /// Nil when the run is whole, or was ended.
    private var writer: ChunkWriter?
    /// What the cache said when it refused bytes.
    private(set) var failure: ChunkStoreError?

    private let file: CachedFile
    private let meter: FillMeter
    private let received = Atomic<Int64>(0)

    /// `writer`: of the run's first chunk.
    init(run: ChunkRun, file: CachedFile, writer: ChunkWriter, meter: FillMeter) {
        self.run = run
        self.file = file
        self.writer = writer
        self.meter = meter
    }

    var receivedBytes: Int64 { received.load(ordering: .relaxed) }
    /// Bytes of the file that the run ends before.
    private var end: UInt64 { file.range(ofChunk: run.chunks.upperBound - 1).upperBound }
    /// Where a transfer is to begin.
    var position: UInt64 { writer?.position ?? end }
    /// Bytes still to come.
    var remaining: UInt64 { end - position }

    func receive(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let writer = try current()
            let piece = bytes[done..<min(bytes.count, done + Int(writer.remaining))]
            try noting { () throws(ChunkStoreError) in try writer.append(UnsafeRawBufferPointer(rebasing: piece)) }
            done += piece.count
            try took(piece.count, writer)
        }
    }

    /// The chunk's own pages, where they are mapped.
    func withSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws {
        let writer = try current()
        var count = 0
        try noting { () throws(ChunkStoreError) in
            try writer.withFreeSpace {
                count = body($0)
                return count
            }
        }
        if count > 0 { try took(count, writer) }
    }

    /// Ends the chunk under way without its bytes.
    func abort() {
        writer?.abort()
        writer = nil
    }

    private func current() throws -> ChunkWriter {
        if let writer { return writer }
        let failure = failure ?? .stale(key: file.key, chunk: run.chunks.upperBound - 1)
        self.failure = failure
        throw failure
    }

    private func took(_ count: Int, _ writer: ChunkWriter) throws {
        received.wrappingAdd(Int64(count), ordering: .relaxed)
        meter.received(count)
        guard writer.remaining == 0 else { return }
        let next = writer.chunk + 1
        self.writer = nil
        try noting { () throws(ChunkStoreError) in
            if next < run.chunks.upperBound {
                self.writer = try writer.finish(beginning: next)
            } else {
                // Whether it was the file's last the planner knows.
                _ = try writer.finish()
            }
        }
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
