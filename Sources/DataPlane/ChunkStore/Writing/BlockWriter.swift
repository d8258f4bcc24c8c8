internal import Checksum
internal import Glibc
internal import LinuxShim

/// Takes one block's bytes in order, at any sizes. On tmpfs with huge pages they go straight into the page cache
/// (`MappedRange`); elsewhere full aligned 2 MiB are staged and written at a time, or, where others read them as they
/// come, what each call brings. The CRC is taken on the bytes as they come, while the processor's cache holds them.
///
/// `@unchecked Sendable`: one thread at a time by contract; a hand-over between threads is the caller's happens-before.
public final class BlockWriter: @unchecked Sendable {
    public let assembly: ChunkAssembly
    /// Index in the chunk.
    public let block: Int
    /// Of the file, bytes.
    public let range: Range<UInt64>
    /// Absolute file offset of the next byte: where a resumed GET goes on.
    public private(set) var position: UInt64
    /// CRC-64/ECMA of the bytes so far.
    public private(set) var checksum: UInt64 = 0

    private let isRelayed: Bool
    /// The share of the in-flight budget; its memory is untouched where the chunk is mapped. Nil once the writer ended.
    private var grant: StagingGrant?
    private var staged = 0

    /// One call receives at most so much where others wait for the bytes.
    private static let relayBytes: UInt64 = 256 << 10

    init(assembly: ChunkAssembly, range: Range<UInt64>, block: Int, grant: StagingGrant, isRelayed: Bool) {
        self.assembly = assembly
        self.range = range
        self.block = block
        self.grant = grant
        self.isRelayed = isRelayed
        position = range.lowerBound
    }

    deinit { end() }

    /// Bytes still to come.
    public var remaining: UInt64 { range.upperBound - position }

    /// Bytes of the block that are in the file.
    public var written: UInt64 { position - range.lowerBound - UInt64(staged) }

    /// Gives the staging memory back, to whoever takes it. Nothing can be written any more. Idempotent: nil the second
    /// time.
    @discardableResult
    public func end() -> StagingGrant? {
        guard let grant else { return nil }
        self.grant = nil
        assembly.writerEnded()
        return grant
    }

    /// Writes `bytes` on.
    ///
    /// Errors: `.wrongLength` when more comes than the block holds (nothing of it is taken), `.mediumFull`, `.io`,
    /// `.stale` (the writer has ended). After `.mediumFull` and `.io` the writer has ended.
    public func append(_ bytes: UnsafeRawBufferPointer) throws(ChunkStoreError) {
        guard UInt64(bytes.count) <= remaining else {
            throw wrongLength(got: position - range.lowerBound + UInt64(bytes.count))
        }
        guard let grant else { throw stale }
        if let space = try mappedSpace(bytes.count) {
            space.copyMemory(from: bytes)
            took(UnsafeRawBufferPointer(space))
            return
        }
        var rest = bytes
        while !rest.isEmpty {
            let space = stagingSpace(grant)
            let count = min(rest.count, space.count)
            space.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            try stage(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(space)[..<count]), grant)
        }
    }

    /// Hands out memory to receive into, up to the next multiple of 2 MiB: `body` gets the free part (empty only when
    /// the block is full), fills a head of it and returns how many bytes; 0 or less changes nothing. Errors as
    /// `append`.
    public func withFreeSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws(ChunkStoreError) {
        guard let grant else { throw stale }
        // Not beyond the huge page at hand: the next one is cleared when its bytes come, so that the cache still holds
        // it then.
        let left = Manifest.hugePageBytes - (position - assembly.range.lowerBound) % Manifest.hugePageBytes
        let mapped = try mappedSpace(Int(min(left, remaining, isRelayed ? Self.relayBytes : .max)))
        let space = mapped ?? stagingSpace(grant)
        let count = body(space)
        precondition(count <= space.count, "more bytes than there was space for")
        guard count > 0 else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(space)[..<count])
        if mapped == nil { try stage(bytes, grant) } else { took(bytes) }
    }

    /// The next `length` bytes of the mapping, safe to write; nil where nothing is mapped.
    private func mappedSpace(_ length: Int) throws(ChunkStoreError) -> UnsafeMutableRawBufferPointer? {
        do throws(ChunkStoreError) {
            return try assembly.mappedSpace(position..<position + UInt64(length))
        } catch {
            end()
            throw error
        }
    }

    /// The free part of the staging buffer, as far as the block goes.
    private func stagingSpace(_ grant: StagingGrant) -> UnsafeMutableRawBufferPointer {
        let free = min(UInt64(StagingPool.bufferBytes - staged), remaining, isRelayed ? Self.relayBytes : .max)
        return UnsafeMutableRawBufferPointer(start: grant.base + staged, count: Int(free))
    }

    /// `bytes` lie in the staging buffer, after what is there.
    private func stage(_ bytes: UnsafeRawBufferPointer, _ grant: StagingGrant) throws(ChunkStoreError) {
        took(bytes)
        staged += bytes.count
        guard isRelayed || staged == StagingPool.bufferBytes || remaining == 0 else { return }
        do throws(ChunkStoreError) {
            let whole = UnsafeRawBufferPointer(start: grant.base, count: staged)
            try assembly.file.write(whole, at: position - UInt64(staged))
        } catch {
            end()
            throw error
        }
        staged = 0
    }

    private func took(_ bytes: UnsafeRawBufferPointer) {
        checksum = mc_crc64(checksum, bytes.baseAddress, bytes.count)
        position += UInt64(bytes.count)
    }

    /// The error of a writer that has ended.
    public var stale: ChunkStoreError { .stale(key: assembly.file.key, chunk: assembly.chunk) }

    private func wrongLength(got: UInt64) -> ChunkStoreError {
        .wrongLength(key: assembly.file.key, chunk: assembly.chunk, expected: UInt64(range.count), got: got)
    }
}
