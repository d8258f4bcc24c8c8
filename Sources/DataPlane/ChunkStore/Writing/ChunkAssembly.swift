internal import Checksum
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// Puts one chunk together from blocks that come in any order and from several sources at once.
///
/// Where a ``ChunkWriter`` takes a chunk's bytes in order from one source, an assembly hands out a ``BlockWriter`` for each
/// block; blocks are written at their place at once (into the page cache where the chunk is mapped, else by pwrite), so nothing
/// is staged. The chunk becomes received when every block was accepted; its CRC is combined from theirs.
///
/// Dropped before that: aborted, no bit is set. `@unchecked Sendable`: the mapping's address is fixed from init to the end, its
/// growing part and the bookkeeping are under the lock, and each block's bytes have one writer by contract.
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
        let start = range.lowerBound + UInt64(block) * blockBytes
        return start..<min(start + blockBytes, range.upperBound)
    }

    /// A writer for one block. At most one at a time may write a block; nil when the assembly has ended or the block is accepted.
    public func writer(forBlock block: Int) -> BlockWriter? {
        let opened = state.withLock { state in
            guard state.isOpen, state.checksums[block] == nil else { return false }
            state.writers += 1
            return true
        }
        return opened ? BlockWriter(assembly: self, range: range(ofBlock: block), block: block) : nil
    }

    /// The block's bytes are in the file and were found right. Chunk complete: received, and visible as the file's mode says.
    ///
    /// - Returns: whether the chunk is complete now, and whether it was the file's last missing one (exactly one caller sees it;
    ///   call `CachedFile.complete()` then, not on an engine thread).
    /// - Throws: `.stale` when the file was begun anew or closed.
    public func accept(block: Int, checksum: UInt64) throws(ChunkStoreError) -> (chunkIsComplete: Bool, isLast: Bool) {
        let result = state.withLock { state -> Result<UInt64?, ChunkStoreError> in
            guard state.isOpen, !file.isClosed, file.fill == fill else { return .failure(.stale(key: file.key, chunk: chunk)) }
            guard state.checksums[block] == nil else { return .success(nil) }
            state.checksums[block] = checksum
            state.missing -= 1
            guard state.missing == 0 else { return .success(nil) }
            var crc: UInt64 = 0
            for (index, block) in state.checksums.enumerated() {
                let range = range(ofBlock: index)
                crc = mc_crc64_combine(crc, block ?? 0, range.upperBound - range.lowerBound)
            }
            return .success(crc)
        }
        guard let crc = try result.get() else { return (false, false) }
        let last = file.received(chunk, crc: crc)
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
            state.writers -= 1
            guard state.writers == 0, !state.isOpen else { return }
            state.mapped?.unmap()
            state.mapped = nil
        }
    }

    /// The bytes of `range` in the mapping, safe to write; nil where nothing is mapped.
    func mappedSpace(_ range: Range<UInt64>) throws(ChunkStoreError) -> UnsafeMutableRawBufferPointer? {
        guard isMapped else { return nil }
        let offset = Int(range.lowerBound - self.range.lowerBound)
        let result = state.withLock { state -> Result<Space?, ChunkStoreError> in
            do throws(MappedRange.Refused) {
                return .success(try state.mapped?.writable(from: offset, length: range.count).baseAddress.map(Space.init))
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

/// Takes one block's bytes in order, at any sizes.
///
/// `@unchecked Sendable`: one thread at a time by contract; a hand-over between threads is the caller's happens-before.
public final class BlockWriter: @unchecked Sendable {
    /// Index in the chunk.
    public let block: Int
    /// Of the file, bytes.
    public let range: Range<UInt64>
    /// Absolute file offset of the next byte.
    public private(set) var position: UInt64
    /// CRC-64/ECMA of the bytes so far.
    public private(set) var checksum: UInt64 = 0
    private let assembly: ChunkAssembly

    /// What one system call receives or writes where nothing is mapped.
    private static let pieceBytes: UInt64 = 256 << 10

    init(assembly: ChunkAssembly, range: Range<UInt64>, block: Int) {
        self.assembly = assembly
        self.range = range
        self.block = block
        position = range.lowerBound
    }

    deinit { assembly.writerEnded() }

    /// Bytes still to come.
    public var remaining: UInt64 { range.upperBound - position }

    /// Writes `bytes` on. Errors: `.wrongLength` when more comes than the block holds, `.mediumFull`, `.io`.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(ChunkStoreError) {
        guard UInt64(bytes.count) <= remaining else {
            throw .wrongLength(
                key: assembly.file.key, chunk: assembly.chunk, expected: UInt64(range.count),
                got: position - range.lowerBound + UInt64(bytes.count))
        }
        if let space = try assembly.mappedSpace(position..<position + UInt64(bytes.count)) {
            space.copyMemory(from: bytes)
            took(UnsafeRawBufferPointer(space))
        } else {
            try assembly.file.write(bytes, at: position)
            took(bytes)
        }
    }

    /// Hands out memory for the next bytes: `body` fills a head of it and returns how many; 0 or less changes nothing.
    public func withFreeSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws(ChunkStoreError) {
        let length = min(remaining, Self.pieceBytes)
        if let space = try assembly.mappedSpace(position..<position + length) {
            let n = body(space)
            precondition(n <= space.count, "more bytes than there was space for")
            if n > 0 { took(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(space)[..<n])) }
            return
        }
        let result = withUnsafeTemporaryAllocation(byteCount: Int(length), alignment: 64) { space -> Result<Void, ChunkStoreError> in
            let n = body(space)
            precondition(n <= space.count, "more bytes than there was space for")
            guard n > 0 else { return .success(()) }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(space)[..<n])
            do throws(ChunkStoreError) {
                try assembly.file.write(bytes, at: position)
            } catch {
                return .failure(error)
            }
            took(bytes)
            return .success(())
        }
        try result.get()
    }

    private func took(_ bytes: UnsafeRawBufferPointer) {
        checksum = mc_crc64(checksum, bytes.baseAddress, bytes.count)
        position += UInt64(bytes.count)
    }
}

extension CachedFile {
    /// An assembly for one missing chunk.
    ///
    /// Errors: `.chunkReceived`, `.chunkBusy` (another writer has it), `.stale` (the model is closed).
    public func assembleChunk(_ chunk: Int, blockBytes: UInt64) throws(ChunkStoreError) -> ChunkAssembly {
        try claim(chunk)
        return ChunkAssembly(file: self, chunk: chunk, blockBytes: blockBytes)
    }

    /// CRC-64/ECMA of any bytes of the file. Blocking. Errors: `.io`, `.corrupt` (shorter than the object).
    public func checksum(ofBytes range: Range<UInt64>) throws(ChunkStoreError) -> UInt64 {
        var crc: UInt64 = 0
        try forEachPiece(range) { crc = mc_crc64(crc, $0.baseAddress, $0.count) }
        return crc
    }

    /// A descriptor of the data file for reading, the caller's to close: for sendfile(2). Negative: -errno.
    public func openForReading() -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        return copy < 0 ? -errno : copy
    }
}
