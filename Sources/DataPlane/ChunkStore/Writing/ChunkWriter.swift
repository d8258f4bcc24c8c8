internal import Checksum
internal import Glibc
internal import LinuxShim

/// Takes one chunk's bytes in order, at any sizes. On tmpfs with huge pages they go straight into the page cache
/// (`MappedRange`); elsewhere full aligned pieces of 2 MiB are staged and written. The CRC is taken on the bytes as they
/// come, while the processor's cache holds them. Dropped without `finish`: aborted, no bit is set.
///
/// `@unchecked Sendable`: one thread at a time by contract; a hand-over between threads is the caller's happens-before.
public final class ChunkWriter: @unchecked Sendable {
    public let chunk: Int
    /// Of the file, bytes.
    public let range: Range<UInt64>
    /// Absolute file offset of the next byte: where a resumed GET goes on.
    public private(set) var position: UInt64

    private let file: CachedFile
    private let pool: StagingPool
    /// The share of the in-flight budget; its memory is untouched where the chunk is mapped.
    private var buffer: StagingPool.Buffer?
    private var mapped: MappedRange?
    private var staged = 0
    private var crc: UInt64 = 0
    private let fill: Int

    init(file: CachedFile, chunk: Int, pool: StagingPool, buffer: StagingPool.Buffer) {
        self.file = file
        self.chunk = chunk
        self.pool = pool
        self.buffer = buffer
        range = file.range(ofChunk: chunk)
        position = range.lowerBound
        fill = file.fill
        mapped = file.mapForWriting(range)
    }

    deinit { abort() }

    /// Bytes still to come.
    public var remaining: UInt64 { range.upperBound - position }

    /// Errors: `.wrongLength` when more comes than the chunk holds (nothing of it is taken), `.mediumFull`, `.io`, `.stale`.
    /// After `.mediumFull` and `.io` the writer is aborted.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(ChunkStoreError) {
        if UInt64(bytes.count) > remaining {
            throw wrongLength(position - range.lowerBound + UInt64(bytes.count))
        }
        if let written = try copyMapped(bytes) {
            crc = mc_crc64(crc, bytes.baseAddress, written)
            position += UInt64(written)
            return
        }
        var rest = bytes
        while !rest.isEmpty {
            guard let buffer else { throw .stale(key: file.key, chunk: chunk) }
            let n = min(rest.count, StagingPool.bufferBytes - staged)
            (buffer.base + staged).copyMemory(from: rest.baseAddress ?? UnsafeRawPointer(buffer.base), byteCount: n)
            rest = UnsafeRawBufferPointer(rebasing: rest[n...])
            try took(n, buffer)
        }
    }

    /// Hands out memory to receive into, up to the end of a piece of 2 MiB: `body` gets the free part (empty only when the chunk
    /// is full), fills a head of it and returns how many bytes; 0 or less changes nothing. Errors as `append`.
    public func withFreeSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws(ChunkStoreError) {
        guard let buffer else { throw .stale(key: file.key, chunk: chunk) }
        // Not beyond the huge page at hand: the next one is cleared when its bytes come, so that the cache still holds it then.
        let left = Manifest.pieceBytes - (position - range.lowerBound) % Manifest.pieceBytes
        if let space = try mappedSpace(length: Int(min(left, remaining))) {
            let n = body(space)
            precondition(n <= space.count, "more bytes than there was space for")
            guard n > 0 else { return }
            crc = mc_crc64(crc, space.baseAddress, n)
            position += UInt64(n)
            return
        }
        let free = Int(min(UInt64(StagingPool.bufferBytes - staged), remaining))
        let n = body(UnsafeMutableRawBufferPointer(start: buffer.base + staged, count: free))
        precondition(n <= free, "more bytes than there was space for")
        if n > 0 { try took(n, buffer) }
    }

    /// Copies into the mapping; nil when there is none.
    private func copyMapped(_ bytes: UnsafeRawBufferPointer) throws(ChunkStoreError) -> Int? {
        guard let target = try mappedSpace(length: bytes.count) else { return nil }
        target.copyMemory(from: bytes)
        return bytes.count
    }

    /// The next `length` bytes of the mapping, safe to write; nil when there is none.
    private func mappedSpace(length: Int) throws(ChunkStoreError) -> UnsafeMutableRawBufferPointer? {
        guard mapped != nil else { return nil }
        let offset = Int(position - range.lowerBound)
        do {
            return try mapped?.writable(from: offset, length: length)
        } catch {
            abort()
            throw file.writeError(Int(error.code))
        }
    }

    private func took(_ n: Int, _ buffer: StagingPool.Buffer) throws(ChunkStoreError) {
        crc = mc_crc64(crc, buffer.base + staged, n)
        staged += n
        position += UInt64(n)
        if staged == StagingPool.bufferBytes || position == range.upperBound { try flush(buffer) }
    }

    private func flush(_ buffer: StagingPool.Buffer) throws(ChunkStoreError) {
        if staged == 0 { return }
        let offset = position - UInt64(staged)
        do {
            try file.write(UnsafeRawBufferPointer(start: buffer.base, count: staged), at: offset)
        } catch {
            abort()
            throw error
        }
        staged = 0
    }

    /// Forgets what came so far: a retry from the start of the chunk.
    public func restart() {
        position = range.lowerBound
        staged = 0
        crc = 0
    }

    /// Makes the chunk received. True: it was the file's last missing chunk (exactly one writer sees it); call
    /// `CachedFile.complete()` then, not on an engine thread.
    ///
    /// Errors: `.wrongLength` when bytes are missing (the writer stays open for a resumed transfer), `.stale`.
    public func finish() throws(ChunkStoreError) -> Bool {
        try received(keepingBuffer: false).isLast
    }

    /// As ``finish()``, and a writer for another chunk of the file, with this one's share of the in-flight budget: where one
    /// range brings several chunks, none of them waits for memory in the middle.
    ///
    /// Errors: as `finish()`, and as `CachedFile.beginChunk` for the other chunk; this one is received then all the same.
    public func finish(beginning next: Int) throws(ChunkStoreError) -> ChunkWriter {
        guard let buffer = try received(keepingBuffer: true).buffer else { throw .stale(key: file.key, chunk: chunk) }
        do {
            try file.claim(next)
        } catch {
            pool.give(back: buffer)
            throw error
        }
        return ChunkWriter(file: file, chunk: next, pool: pool, buffer: buffer)
    }

    private func received(keepingBuffer: Bool) throws(ChunkStoreError) -> (isLast: Bool, buffer: StagingPool.Buffer?) {
        if remaining > 0 {
            throw wrongLength(position - range.lowerBound)
        }
        guard let buffer else { throw .stale(key: file.key, chunk: chunk) }
        if file.isClosed || file.fill != fill {
            abort()
            throw .stale(key: file.key, chunk: chunk)
        }
        let last = file.received(chunk, crc: crc)
        release(keepingBuffer: keepingBuffer)
        return (last, keepingBuffer ? buffer : nil)
    }

    private func wrongLength(_ got: UInt64) -> ChunkStoreError {
        .wrongLength(key: file.key, chunk: chunk, expected: range.upperBound - range.lowerBound, got: got)
    }

    /// Gives the chunk and the staging memory back. Idempotent; does nothing after `finish`.
    public func abort() { release(keepingBuffer: false) }

    private func release(keepingBuffer: Bool) {
        guard let buffer else { return }
        self.buffer = nil
        mapped?.unmap()
        mapped = nil
        file.unclaim(chunk)
        if !keepingBuffer { pool.give(back: buffer) }
    }
}
