internal import ChunkStore
internal import ObjectStore
internal import Synchronization

/// Carries a range's bytes from the engine's thread into a chunk.
///
/// One transfer at a time feeds it; a resumed one goes on where the writer stands.
final class ChunkSink: RangeSink, Sendable {
    private let writer: ChunkWriter
    private let meter: FillMeter
    private let received = Atomic<Int64>(0)
    private let error = Mutex<ChunkStoreError?>(nil)

    init(writer: ChunkWriter, meter: FillMeter) {
        self.writer = writer
        self.meter = meter
    }

    var receivedBytes: Int64 { received.load(ordering: .relaxed) }

    /// What the cache said when it refused bytes.
    var failure: ChunkStoreError? { error.withLock { $0 } }

    func receive(_ bytes: UnsafeRawBufferPointer) throws {
        do {
            try writer.append(bytes)
        } catch {
            self.error.withLock { $0 = error }
            throw error
        }
        took(bytes.count)
    }

    /// The chunk's own pages, where they are mapped.
    func withSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws {
        var count = 0
        do {
            try writer.withFreeSpace {
                count = body($0)
                return count
            }
        } catch {
            self.error.withLock { $0 = error }
            throw error
        }
        if count > 0 { took(count) }
    }

    private func took(_ count: Int) {
        received.wrappingAdd(Int64(count), ordering: .relaxed)
        meter.received(count)
    }
}
