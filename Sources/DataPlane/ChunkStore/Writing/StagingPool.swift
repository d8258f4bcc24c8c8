internal import Atomics
internal import LinuxShim
internal import Synchronization

/// The stated in-flight memory budget: staging buffers of 2 MiB, one per open `ChunkWriter`, shared by all models; or a pipe in
/// place of one, which holds at most half of that.
///
/// Buffers are handed out last in, first out, so that few are in use when few are needed and the one handed out is
/// likely still in the processor's cache. Memory is taken on first use and kept; it never exceeds the limit.
public final class StagingPool: Sendable {
    static let bufferBytes = Int(Manifest.pieceBytes)

    /// One buffer. `@unchecked Sendable`: exactly one owner at a time, the pool or a writer.
    struct Buffer: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        /// In place of the memory at ``base``, which then stays untouched. Made on first use, kept while it is empty.
        var pipe: ReceivePipe?

        /// Whether there is a pipe now.
        mutating func openPipe() -> Bool {
            if pipe == nil { pipe = ReceivePipe() }
            return pipe != nil
        }

        /// And what it holds is gone.
        mutating func closePipe() {
            pipe?.close()
            pipe = nil
        }
    }

    private struct State {
        var free: [Buffer] = []
        var made = 0
    }

    private let limit: Int
    /// Whether bytes may come through pipes: they are to be had, and sockets fill them well.
    private let pipesPay = ManagedAtomic<Bool>(true)
    private let state = Mutex(State())

    /// Rounded down to whole buffers; at least one.
    public init(limitBytes: Int) {
        limit = max(1, limitBytes / StagingPool.bufferBytes)
    }

    deinit {
        state.withLock { state in
            for buffer in state.free {
                buffer.pipe?.close()
                mc_unmap(buffer.base, StagingPool.bufferBytes)
            }
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
        var buffer = buffer
        if buffer.pipe?.count ?? 0 > 0 { buffer.closePipe() }
        state.withLock { $0.free.append(buffer) }
    }

    var mayPipe: Bool { pipesPay.load(ordering: .relaxed) }
    func stopPiping() { pipesPay.store(false, ordering: .relaxed) }
}
