internal import LinuxShim
internal import Synchronization

/// The stated in-flight memory budget: staging buffers of 2 MiB, one per open `ChunkWriter`, shared by all models.
///
/// Buffers are handed out last in, first out, so that few are in use when few are needed and the one handed out is
/// likely still in the processor's cache. Memory is taken on first use and kept; it never exceeds the limit.
public final class StagingPool: Sendable {
    static let bufferBytes = Int(Manifest.pieceBytes)

    /// One buffer. `@unchecked Sendable`: exactly one owner at a time, the pool or a writer.
    struct Buffer: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
    }

    private struct State {
        var free: [Buffer] = []
        var made = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    /// Rounded down to whole buffers; at least one.
    public init(limitBytes: Int) {
        limit = max(1, limitBytes / StagingPool.bufferBytes)
    }

    deinit {
        state.withLock { state in
            for buffer in state.free { mc_unmap(buffer.base, StagingPool.bufferBytes) }
        }
    }

    public var limitBytes: Int { limit * StagingPool.bufferBytes }
    /// Held by writers now.
    public var usedBytes: Int { state.withLock { ($0.made - $0.free.count) * StagingPool.bufferBytes } }

    /// nil: all are in use, or the machine has no memory.
    func acquire() -> Buffer? {
        state.withLock { state in
            if let buffer = state.free.popLast() { return buffer }
            guard state.made < limit, let base = mc_map_huge_anonymous(StagingPool.bufferBytes) else { return nil }
            state.made += 1
            return Buffer(base: base)
        }
    }

    func give(back buffer: Buffer) {
        state.withLock { $0.free.append(buffer) }
    }
}
