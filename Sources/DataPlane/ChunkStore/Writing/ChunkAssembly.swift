internal import Checksum
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// Puts one chunk together from blocks that come in any order and from several sources at once, or from one block that
/// is the whole chunk.
///
/// It hands out a ``BlockWriter`` for each block. The chunk becomes received when every block was accepted; its CRC is
/// combined from theirs.
///
/// Dropped before that, with its writers: aborted, no bit is set.
///
/// `@unchecked Sendable`: the mapping's address is fixed from init to the end, its growing part and the bookkeeping are
/// under the lock, and each block's bytes have one writer by contract.
public final class ChunkAssembly: @unchecked Sendable {
    public let chunk: Int
    /// Of the file, bytes.
    public let range: Range<UInt64>
    /// Length of every block but the last, in bytes.
    public let blockBytes: UInt64
    public let blockCount: Int

    let file: CachedFile
    private let fill: Int

    private struct State {
        var mapped: MappedRange?
        /// CRC-64 of accepted blocks.
        var checksums: [UInt64?]
        var missing: Int
        var isOpen = true
        /// Block writers that may touch the mapping.
        var writers = 0
    }
    private let state: Mutex<State>
    private let isMapped: Bool

    init(file: CachedFile, chunk: Int, blockBytes: UInt64) {
        precondition(blockBytes > 0, "a block has bytes")
        self.file = file
        self.chunk = chunk
        self.blockBytes = blockBytes
        range = file.range(ofChunk: chunk)
        blockCount = Int((range.upperBound - range.lowerBound + blockBytes - 1) / blockBytes)
        fill = file.fill
        let mapped = file.mapForWriting(range)
        isMapped = mapped != nil
        state = Mutex(State(mapped: mapped, checksums: Array(repeating: nil, count: blockCount), missing: blockCount))
    }

    deinit { abort() }

    /// Of the file, bytes.
    public func range(ofBlock block: Int) -> Range<UInt64> {
        precondition(block >= 0 && block < blockCount, "the chunk has no such block")
        let start = range.lowerBound + UInt64(block) * blockBytes
        return start..<min(start + blockBytes, range.upperBound)
    }

    /// A writer for one block. At most one at a time may write a block; nil when the assembly has ended or the block is
    /// accepted.
    ///
    /// - Parameter isRelayed: others read the bytes from the file as they come, so none of them stays in the grant's
    ///   buffer.
    public func writer(forBlock block: Int, with grant: StagingGrant, isRelayed: Bool) -> BlockWriter? {
        let opened = state.withLock { state in
            guard state.isOpen, state.checksums[block] == nil else { return false }
            state.writers += 1
            return true
        }
        guard opened else { return nil }
        return BlockWriter(
            assembly: self, range: range(ofBlock: block), block: block, grant: grant, isRelayed: isRelayed)
    }

    /// The block's bytes are in the file and were found right. Chunk complete: received, and visible as the file's mode
    /// says.
    ///
    /// - Returns: whether the chunk is complete now, and whether it was the file's last missing one (exactly one caller
    ///   sees it; call `CachedFile.complete()` then, not on an engine thread).
    /// - Throws: `.stale` when the file was begun anew or closed.
    public func accept(block: Int, checksum: UInt64) throws(ChunkStoreError) -> (chunkIsComplete: Bool, isLast: Bool) {
        let result = state.withLock { state -> Result<(crc: UInt64, blocks: [UInt64])?, ChunkStoreError> in
            guard state.isOpen, !file.isClosed, file.fill == fill else {
                return .failure(.stale(key: file.key, chunk: chunk))
            }
            guard state.checksums[block] == nil else { return .success(nil) }
            state.checksums[block] = checksum
            state.missing -= 1
            guard state.missing == 0 else { return .success(nil) }
            let blocks = state.checksums.map { $0 ?? 0 }
            var crc: UInt64 = 0
            for (index, block) in blocks.enumerated() {
                let range = range(ofBlock: index)
                crc = mc_crc64_combine(crc, block, range.upperBound - range.lowerBound)
            }
            return .success((crc, blocks))
        }
        guard let (crc, blocks) = try result.get() else { return (false, false) }
        let parts = blockCount > 1 ? ChunkParts(bytes: blockBytes, checksums: blocks) : nil
        let last = file.received(chunk, crc: crc, parts: parts)
        abort()
        return (true, last)
    }

    /// Gives the chunk back. Idempotent; the memory goes with the last block writer.
    public func abort() {
        let closed = state.withLock { state in
            guard state.isOpen else { return false }
            state.isOpen = false
            if state.writers == 0 {
                state.mapped?.unmap()
                state.mapped = nil
            }
            return true
        }
        if closed { file.unclaim(chunk) }
    }

    // MARK: For BlockWriter

    func writerEnded() {
        state.withLock { state in
            precondition(state.writers > 0, "a block's writer ends once: others still write to the mapping")
            state.writers -= 1
            guard state.writers == 0, !state.isOpen else { return }
            state.mapped?.unmap()
            state.mapped = nil
        }
    }

    /// The bytes of `range` in the mapping, safe to write; nil where nothing is mapped.
    func mappedSpace(_ range: Range<UInt64>) throws(ChunkStoreError) -> UnsafeMutableRawBufferPointer? {
        guard isMapped else { return nil }
        precondition(
            range.lowerBound >= self.range.lowerBound && range.upperBound <= self.range.upperBound,
            "bytes of another chunk are not in this mapping")
        let offset = Int(range.lowerBound - self.range.lowerBound)
        let result = state.withLock { state -> Result<Space?, ChunkStoreError> in
            do throws(MappedRange.Refused) {
                return .success(
                    try state.mapped?.writable(from: offset, length: range.count).baseAddress.map(Space.init))
            } catch {
                return .failure(file.writeError(Int(error.code)))
            }
        }
        return try result.get().map { UnsafeMutableRawBufferPointer(start: $0.base, count: range.count) }
    }

    /// Carries an address out of the lock. `@unchecked Sendable`: the block it lies in has one writer.
    private struct Space: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
    }
}

extension CachedFile {
    /// An assembly for one missing chunk. Never blocks.
    ///
    /// - Parameter blockBytes: of each block but the chunk's last; the chunk is one block where it is not longer.
    ///
    /// Errors: `.chunkReceived`, `.chunkBusy` (another writer has it), `.stale` (the model is closed).
    public func assembleChunk(_ chunk: Int, blockBytes: UInt64) throws(ChunkStoreError) -> ChunkAssembly {
        try claim(chunk)
        return ChunkAssembly(file: self, chunk: chunk, blockBytes: blockBytes)
    }

    /// A descriptor of the data file for reading, the caller's to close: for sendfile(2). Negative: -errno.
    public func openForReading() -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if copy < 0 { return -errno }
        // After it: of a file that is gone the copy may be of nothing.
        guard isClosed else { return copy }
        Glibc.close(copy)
        return -ESTALE
    }
}
