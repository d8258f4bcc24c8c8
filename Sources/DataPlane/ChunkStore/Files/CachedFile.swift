internal import AgentWire
internal import Atomics
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// One object in the cache: a sparse file of full length and its presence file.
///
/// Guarantees: a bit is set only after all bytes of its chunk are in the file; the plain name exists only when the whole
/// file is verified. Data files are never punched or preallocated; on huge-page tmpfs a chunk is mapped while it is written
/// (`MappedRange`). Any thread may call anything; writing chunks takes no lock but the pool's.
public final class CachedFile: Sendable {
    /// Position in the manifest; `mc_presence_header.file_index`.
    public let index: Int
    public let key: String
    public let size: UInt64
    public let chunkBytes: UInt64
    /// 0 for an empty file.
    public let chunkCount: Int

    let paths: FilePaths
    let map: PresenceMap
    let medium: Medium
    let visibility: VisibilityMode
    let descriptor: Int32
    /// Chunks that a writer holds, one bit each; in memory only, so a crash frees them.
    private let claims: ClaimMap
    private let missing: ManagedAtomic<Int>
    private let closed = ManagedAtomic<Bool>(false)
    private let changed: @Sendable () -> Void
    /// How often the file was begun anew. The epoch does not tell: it counts only what readers saw.
    private let fills = ManagedAtomic<Int>(0)

    struct Completing {
        var checksums: ObjectChecksums
        var mismatches = 0
    }
    /// Held for verify, publish, invalidate and fail, which are rare and exclude each other.
    let completing: Mutex<Completing>

    /// Opens what is there or makes it: see `CachedModel`.
    init(
        index: Int, entry: ManifestFile, chunkBytes: UInt64, generation: Generation, paths: FilePaths, medium: Medium,
        visibility: VisibilityMode, changed: @escaping @Sendable () -> Void
    ) throws(ChunkStoreError) {
        let fixed = PresenceMap.Fixed(
            index: UInt32(index), fileBytes: entry.size, chunkBytes: chunkBytes, generation: generation.bytes)
        try paths.makeParents()
        let known = try PresenceMap.open(at: paths.presence, fixed: fixed)
        let (descriptor, existed) = try paths.openData(size: entry.size)
        do {
            if existed, let known {
                map = known
            } else {
                // The name of a file that was whole is the cache's own, also where the file has lost its other name.
                if known?.state == .complete { _ = paths.plain.unlink() } else { paths.unpublish() }
                map = try PresenceMap.create(at: paths.presence, temporary: paths.temporary, fixed: fixed)
            }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        self.index = index
        key = entry.key
        size = entry.size
        self.chunkBytes = chunkBytes
        chunkCount = Int(map.layout.chunkCount)
        self.paths = paths
        self.medium = medium
        self.visibility = visibility
        self.descriptor = descriptor
        self.changed = changed
        claims = ClaimMap(chunkCount: chunkCount)
        map.trim()
        missing = ManagedAtomic(chunkCount - map.receivedCount)
        completing = Mutex(Completing(checksums: entry.checksums))
    }

    deinit { Glibc.close(descriptor) }

    public var state: FileState { map.state }
    /// Why it failed or was invalidated; empty otherwise.
    public var message: String { map.message }
    /// Starts at 1; greater after every `invalidate` of a file that showed bytes.
    public var epoch: UInt32 { map.epoch }

    /// Bytes of the file that the chunk holds; the last chunk may be short.
    public func range(ofChunk chunk: Int) -> Range<UInt64> {
        let start = UInt64(chunk) * chunkBytes
        return start..<min(start + chunkBytes, size)
    }

    public func isReceived(_ chunk: Int) -> Bool { map.isReceived(chunk) }
    public func isVisible(_ chunk: Int) -> Bool { map.isVisible(chunk) }
    public var receivedChunks: Int { map.receivedCount }

    public var receivedBytes: UInt64 {
        let count = map.receivedCount
        guard count > 0, map.isReceived(chunkCount - 1) else { return UInt64(count) * chunkBytes }
        let last = range(ofChunk: chunkCount - 1)
        return UInt64(count - 1) * chunkBytes + (last.upperBound - last.lowerBound)
    }

    /// Chunks not received, ascending.
    public func missingChunks() -> [Int] { (0..<chunkCount).filter { !map.isReceived($0) } }

    /// CRC-64/ECMA of a received chunk's bytes.
    public func checksum(of chunk: Int) -> UInt64? { map.isReceived(chunk) ? map.checksum(chunk) : nil }

    /// A writer for one missing chunk, or nil when the pool is empty (try later). Never blocks.
    ///
    /// Errors: `.chunkReceived`, `.chunkBusy` (another writer has it), `.stale` (the model is closed).
    public func beginChunk(_ chunk: Int, pool: StagingPool) throws(ChunkStoreError) -> ChunkWriter? {
        try claim(chunk)
        guard let buffer = pool.acquire() else {
            claims.release(chunk)
            return nil
        }
        return ChunkWriter(file: self, chunk: chunk, pool: pool, buffer: buffer)
    }

    /// Takes the chunk for one writer. Errors as ``beginChunk(_:pool:)``.
    func claim(_ chunk: Int) throws(ChunkStoreError) {
        precondition(chunk >= 0 && chunk < chunkCount, "no such chunk")
        if isClosed { throw .stale(key: key, chunk: chunk) }
        if map.isReceived(chunk) { throw .chunkReceived(key: key, chunk: chunk) }
        if !claims.claim(chunk) { throw .chunkBusy(key: key, chunk: chunk) }
        // The writer before may have finished between the look and the claim.
        if map.isReceived(chunk) {
            claims.release(chunk)
            throw .chunkReceived(key: key, chunk: chunk)
        }
    }

    /// Checksums the store gave after listing (HEAD, first GET). Fields that are nil change nothing.
    public func learn(_ checksums: ObjectChecksums) {
        completing.withLock { $0.checksums.merge(checksums) }
    }

    // MARK: For ChunkWriter and CachedModel

    var isClosed: Bool { closed.load(ordering: .acquiring) }
    /// No more chunks; writers under way get `.stale` at `finish`.
    func close() { closed.store(true, ordering: .releasing) }
    var fill: Int { fills.load(ordering: .acquiring) }
    func nextFill() { fills.wrappingIncrement(ordering: .acquiringAndReleasing) }
    func unclaim(_ chunk: Int) { claims.release(chunk) }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(ChunkStoreError) {
        let result = mc_pwrite_all(descriptor, bytes.baseAddress, bytes.count, offset)
        if result < 0 { throw writeError(Int(result)) }
        // Dirty pages must not pile up until the sync before publication stalls on all of them.
        if medium == .disk { _ = mc_start_writeback(descriptor, offset, UInt64(bytes.count)) }
    }

    func writeError(_ result: Int) -> ChunkStoreError { .from(result, "write", "\(paths.partial)") }

    /// Nil where writing through a mapping does not pay or is not to be had.
    func mapForWriting(_ range: Range<UInt64>) -> MappedRange? {
        medium == .hugeTmpfs ? MappedRange(descriptor: descriptor, range: range) : nil
    }

    /// Checksum first, then `received`, then `visible`: whoever sees a bit sees what it stands for.
    func received(_ chunk: Int, crc: UInt64) -> Bool {
        map.setChecksum(chunk, crc)
        map.setReceived(chunk)
        if visibility == .streaming { map.setVisible(chunk) }
        let last = missing.wrappingDecrementThenLoad(ordering: .acquiringAndReleasing) == 0
        announce()
        return last
    }

    func recount() { missing.store(chunkCount - map.receivedCount, ordering: .releasing) }

    func announce() {
        map.announce()
        changed()
    }
}

/// Which chunks writers hold.
///
/// `@unchecked Sendable`: the words are accessed atomically and live as long as the object.
private final class ClaimMap: @unchecked Sendable {
    private let words: UnsafeMutablePointer<UInt64>
    private let count: Int

    init(chunkCount: Int) {
        count = max(1, (chunkCount + 63) / 64)
        words = .allocate(capacity: count)
        words.initialize(repeating: 0, count: count)
    }

    deinit { words.deallocate() }

    func claim(_ chunk: Int) -> Bool {
        let bit = UInt64(1) << UInt64(chunk % 64)
        return mc_atomic_or_u64(words + chunk / 64, bit) & bit == 0
    }

    func release(_ chunk: Int) { _ = mc_atomic_and_u64(words + chunk / 64, ~(1 << UInt64(chunk % 64))) }
}
