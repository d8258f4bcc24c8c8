internal import ChunkStore
internal import ObjectStore
internal import Swarm
internal import Synchronization

/// Carries one block's bytes from an engine's thread to their place, and tells how far they are.
final class BlockSink: RangeSink, Sendable {
    let writer: BlockWriter
    private let arrival: Arrival
    private let meter: FillMeter
    private let isFromPeer: Bool
    private let error = Mutex<ChunkStoreError?>(nil)

    init(writer: BlockWriter, arrival: Arrival, meter: FillMeter, isFromPeer: Bool) {
        self.writer = writer
        self.arrival = arrival
        self.meter = meter
        self.isFromPeer = isFromPeer
    }

    var receivedBytes: UInt64 { arrival.bytes }

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
        arrival.advance(by: count)
        if isFromPeer { meter.receivedFromPeer(count) } else { meter.received(count) }
    }
}
