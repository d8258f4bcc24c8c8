internal import Checksum
internal import Glibc
internal import LinuxShim

/// Takes one chunk's bytes in order, at any sizes. On tmpfs with huge pages they come from the socket into the file through a pipe
/// (``receive(from:atMost:)``); else full aligned pieces of 2 MiB are staged and then put into the file (`CachedFile.put`). The CRC
/// is taken while the processor's cache holds the bytes. Dropped without `finish`: aborted, no bit is set.
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
    /// The share of the in-flight budget.
    private var buffer: StagingPool.Buffer?
    /// Bytes in the buffer, or in its pipe, that are not in the file yet; never in both.
    private var staged = 0
    /// How many of the pipe's first bytes are in the CRC.
    private var summed = 0
    /// For the CRC of what comes through the pipe.
    private var mapped: MappedRange?
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
        try emptyPipe()
        var rest = bytes
        while !rest.isEmpty {
            guard let buffer else { throw .stale(key: file.key, chunk: chunk) }
            let n = min(rest.count, Int(leftOfPiece))
            (buffer.base + staged).copyMemory(from: rest.baseAddress ?? UnsafeRawPointer(buffer.base), byteCount: n)
            rest = UnsafeRawBufferPointer(rebasing: rest[n...])
            try took(n, buffer)
        }
    }

    /// Hands out memory to receive into, up to the end of a piece of 2 MiB: `body` gets the free part (empty only when the chunk
    /// is full), fills a head of it and returns how many bytes; 0 or less changes nothing. Errors as `append`.
    public func withFreeSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws(ChunkStoreError) {
        guard let buffer else { throw .stale(key: file.key, chunk: chunk) }
        try emptyPipe()
        let free = Int(min(leftOfPiece, remaining))
        let n = body(UnsafeMutableRawBufferPointer(start: buffer.base + staged, count: free))
        precondition(n <= free, "more bytes than there was space for")
        if n > 0 { try took(n, buffer) }
    }

    /// Moves what the socket has into the file, at most `limit` bytes and never beyond the chunk, without a copy in this process.
    /// The socket does not block.
    ///
    /// Returns as recv(2): bytes, 0 when the sender has closed, or a negative errno (-EAGAIN: nothing now). Nil: not this way, here
    /// or now; use ``withFreeSpace(_:)``. Errors as `append`.
    public func receive(from socket: Int32, atMost limit: Int) throws(ChunkStoreError) -> Int? {
        guard try openPipe() else { return nil }
        var received = 0
        while received < limit, remaining > 0 {
            guard buffer?.pipe != nil else { throw .stale(key: file.key, chunk: chunk) }
            let wanted = min(limit - received, Int(remaining))
            switch buffer?.pipe?.fill(from: socket, atMost: wanted) {
            case .bytes(let n):
                received += n
                position += UInt64(n)
                if remaining == 0 { try emptyPipe() }
            case .full:
                if let held = buffer?.pipe?.count, held < ReceivePipe.worthwhile { pool.stopPiping() }
                try emptyPipe()
            case .nothing, nil: return received > 0 ? received : -Int(EAGAIN)
            case .end: return received
            case .failed(let code): return received > 0 ? received : -Int(code)
            }
        }
        return received
    }

    /// Whether the next bytes may come through the pipe; what is staged is in it then.
    private func openPipe() throws(ChunkStoreError) -> Bool {
        guard remaining > 0, let buffer else { return false }
        if let pipe = buffer.pipe, pipe.count > 0 { return true }
        // A piece that was begun in the buffer is ended there, but for the little that comes along with an answer's head.
        guard file.medium == .hugeTmpfs, pool.mayPipe, file.isQuiet, staged <= Int(PIPE_BUF) else { return false }
        if mapped == nil { mapped = file.mapForWriting(range) }
        guard mapped != nil, self.buffer?.openPipe() ?? false else {
            pool.stopPiping()
            return false
        }
        guard staged > 0 else { return true }
        guard self.buffer?.pipe?.add(UnsafeRawBufferPointer(start: buffer.base, count: staged)) ?? false else { return false }
        // They are in the CRC already.
        summed = staged
        staged = 0
        return true
    }

    /// What the pipe holds goes into the file, and into the CRC.
    private func emptyPipe() throws(ChunkStoreError) {
        guard var pipe = buffer?.pipe, pipe.count > 0 else { return }
        let held = pipe.count
        let offset = position - UInt64(held)
        do {
            try file.put(&pipe, at: offset)
        } catch {
            abort()
            throw error
        }
        buffer?.pipe = pipe
        if let mapped {
            let bytes = mapped.bytes(from: Int(offset - range.lowerBound) + summed, length: held - summed)
            crc = mc_crc64(crc, bytes.baseAddress, bytes.count)
        }
        summed = 0
    }

    /// Bytes until the huge page ends that the next one lies in.
    private var leftOfPiece: UInt64 { Manifest.pieceBytes - (position - range.lowerBound) % Manifest.pieceBytes }
    private var isAtEndOfPiece: Bool { leftOfPiece == Manifest.pieceBytes || remaining == 0 }

    private func took(_ n: Int, _ buffer: StagingPool.Buffer) throws(ChunkStoreError) {
        crc = mc_crc64(crc, buffer.base + staged, n)
        staged += n
        position += UInt64(n)
        if isAtEndOfPiece { try flush(buffer) }
    }

    private func flush(_ buffer: StagingPool.Buffer) throws(ChunkStoreError) {
        if staged == 0 { return }
        let offset = position - UInt64(staged)
        do {
            try file.put(UnsafeRawBufferPointer(start: buffer.base, count: staged), at: offset)
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
        summed = 0
        crc = 0
        if buffer?.pipe?.count ?? 0 > 0 { buffer?.closePipe() }
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
