internal import AgentWire
internal import Atomics
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// One object in the cache: a sparse file of full length and its presence file.
///
/// Guarantees: a bit is set only after all bytes of its chunk are in the file; the plain name exists only when the
/// whole file is verified. Data files are never punched or preallocated; on huge-page tmpfs a chunk is mapped while it
/// is written (`MappedRange`). Any thread may call anything; writing chunks takes no lock but the pool's.
public final class CachedFile: Sendable {
    /// `mc_presence_header.file_index`: stable, and no place in ``FileSet/files`` (see
    /// ``FileSet/position(ofFileIndex:)``).
    public let fileIndex: UInt32
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
    private let claims: AtomicBits
    /// Received chunks that are still to be held against their CRCs (CachedFile+Check.swift).
    let unchecked: AtomicBits
    let uncheckedCount = ManagedAtomic<Int>(0)
    /// Chunks whose check is queued because a reader waits.
    let demandedChecks: AtomicBits
    /// Of received chunks that are not unchecked, what is known beside their CRCs.
    let knownParts = Mutex<[Int: ChunkParts]>([:])
    let missing: ManagedAtomic<Int>
    private let closed = ManagedAtomic<Bool>(false)
    private let changed: @Sendable () -> Void
    let lost: @Sendable (LostChunk) -> Void
    /// How often the file was begun anew. The epoch does not tell: it counts only what readers saw.
    private let fills = ManagedAtomic<Int>(0)

    /// See ``onReadForCopy(_:)``.
    let readForCopy = Mutex<(@Sendable () -> Void)?>(nil)

    /// The checksums that the store gave.
    let checksums: Mutex<ObjectChecksums>

    struct Completing {
        var mismatches = 0
        /// How often the medium could not read back what was written.
        var mediumFaults = 0
        var tag = TagEvidence()
        /// Counts what makes a verification that is under way worthless: bytes that may become others, and a failure.
        var changes = 0
        /// `changes` when it was complete and could not be published, since something else had its name.
        var nameTakenAt: Int?
        /// It failed as it was at ``nameTakenAt``.
        var hasFailedForName = false
        /// It failed for another reason of its own.
        var hasFailedAlone = false
    }
    /// Held while the file changes its state or name, never while its bytes are read or synced: an eviction waits for
    /// it.
    let completing = Mutex(Completing())

    /// Where the file is, or is to be.
    enum Place {
        /// Under its names: what is there is opened, else made.
        case own
        /// Aside, made anew; ``takePlace()`` gives it its names.
        case staged
    }

    /// Errors: `.io`, `.mediumFull`.
    init(
        entry: ManifestFile, manifest: Manifest, paths: FilePaths, at place: Place = .own, medium: Medium,
        visibility: VisibilityMode, changed: @escaping @Sendable () -> Void,
        lost: @escaping @Sendable (LostChunk) -> Void
    ) throws(ChunkStoreError) {
        let fixed = PresenceMap.Fixed(
            index: entry.index, fileBytes: entry.size, chunkBytes: manifest.chunkBytes,
            generation: manifest.generation(of: entry).bytes, replacedInSet: entry.replacedInSet,
            manifestGeneration: manifest.generation.bytes)
        if place == .own, let found = try Self.open(paths, size: entry.size, fixed) {
            (map, descriptor) = found
        } else {
            (map, descriptor) = try Self.make(paths, at: place, size: entry.size, fixed)
        }
        fileIndex = entry.index
        key = entry.key
        size = entry.size
        chunkBytes = manifest.chunkBytes
        chunkCount = Int(map.layout.chunkCount)
        self.paths = paths
        self.medium = medium
        self.visibility = visibility
        self.changed = changed
        self.lost = lost
        claims = AtomicBits(count: chunkCount)
        unchecked = AtomicBits(count: chunkCount)
        demandedChecks = AtomicBits(count: chunkCount)
        map.trim()
        missing = ManagedAtomic(chunkCount - map.receivedCount)
        checksums = Mutex(entry.checksums)
    }

    deinit { Glibc.close(descriptor) }

    /// The data file and the presence file that describes it; nil: not both are there, and nothing of the names is
    /// left. A data file is never taken for another version: who reads the former one would see the new bytes.
    private static func open(
        _ paths: FilePaths, size: UInt64, _ fixed: PresenceMap.Fixed
    ) throws(ChunkStoreError) -> (PresenceMap, Int32)? {
        let known = try PresenceMap.open(at: paths.presence, fixed: fixed)
        if let data = try paths.openData(size: size) {
            if let known {
                known.describe(inode: data.inode)
                return (known, data.descriptor)
            }
            Glibc.close(data.descriptor)
        } else if known?.state == .complete {
            // The name of a file that was complete is the cache's own, also where the file has lost its other name.
            try FilePaths.remove(paths.plain)
        }
        try paths.removeAll()
        // Something else stands in the place of the file.
        try paths.partial.removeAll()
        return nil
    }

    private static func make(
        _ paths: FilePaths, at place: Place, size: UInt64, _ fixed: PresenceMap.Fixed
    ) throws(ChunkStoreError) -> (PresenceMap, Int32) {
        let isStaged = place == .staged
        if !isStaged { try paths.makeParents() }
        let data = try paths.createData(at: isStaged ? paths.stagedData(fixed.index) : paths.partial, size: size)
        do throws(ChunkStoreError) {
            let map = try PresenceMap.create(
                at: isStaged ? paths.stagedPresence(fixed.index) : paths.presence, temporary: paths.temporary,
                fixed: fixed,
                inode: data.inode)
            return (map, data.descriptor)
        } catch {
            Glibc.close(data.descriptor)
            throw error
        }
    }

    /// Gives a staged file its names. Errors: `.io`, `.mediumFull`.
    func takePlace() throws(ChunkStoreError) {
        try paths.place(data: paths.stagedData(fileIndex), presence: paths.stagedPresence(fileIndex))
    }

    public var state: FileState { map.state }
    /// Why it failed or was invalidated; empty otherwise.
    public var message: String { map.message }
    /// Starts at 1; greater after every `invalidate` of a file that showed bytes.
    public var epoch: UInt32 { map.epoch }

    /// Whether a read of it may wait for a disk.
    public var isOnDisk: Bool { medium == .disk }

    /// Bytes of the file that the chunk holds; the last chunk may be short.
    public func range(ofChunk chunk: Int) -> Range<UInt64> {
        precondition(chunk >= 0 && chunk < chunkCount, "a chunk beyond the file has no bytes")
        let start = UInt64(chunk) * chunkBytes
        return start..<min(start + chunkBytes, size)
    }

    /// Whether the chunk's bytes are in the file, checked or not (``isUnchecked(_:)``).
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

    /// The file's first bytes; nil where they cannot be read. Only what was received is not zero.
    package func beginning(bytes count: Int) -> [UInt8]? {
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { space, read in
            while read < count {
                let found = pread(descriptor, space.baseAddress.map { $0 + read }, count - read, off_t(read))
                if found > 0 { read += found } else if found == 0 || errno != EINTR { return }
            }
        }
        return bytes.count == count ? bytes : nil
    }

    /// CRC-64/ECMA of a received chunk's bytes.
    public func checksum(of chunk: Int) -> UInt64? { map.isReceived(chunk) ? map.checksum(chunk) : nil }

    /// Takes the chunk for one assembly. Errors as ``assembleChunk(_:blockBytes:)``.
    func claim(_ chunk: Int) throws(ChunkStoreError) {
        precondition(chunk >= 0 && chunk < chunkCount, "no such chunk")
        if isClosed { throw .stale(key: key, chunk: chunk) }
        if map.isReceived(chunk) { throw .chunkReceived(key: key, chunk: chunk) }
        if !claims.set(chunk) { throw .chunkBusy(key: key, chunk: chunk) }
        // The writer before may have finished between the look and the claim.
        if map.isReceived(chunk) {
            claims.clear(chunk)
            throw .chunkReceived(key: key, chunk: chunk)
        }
    }

    /// Checksums the store gave after listing (HEAD, first GET). Fields that are nil change nothing.
    public func learn(_ checksums: ObjectChecksums) {
        self.checksums.withLock { $0.merge(checksums) }
    }

    // MARK: For ChunkAssembly and CachedModel

    var isClosed: Bool { closed.load(ordering: .acquiring) }
    /// No more chunks, and no name: writers under way get `.stale` at `finish`. Another file may have the names after
    /// it.
    func close() { completing.withLock { _ in closed.store(true, ordering: .releasing) } }
    /// Gives the pages of a file that has no name any more back now, on this thread, whoever still refers to it: of a
    /// large file that takes seconds. To be called after ``close()``. From then on nothing can be read.
    func letGo() {
        let nothing = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        // Without it the last reference gives them back.
        guard nothing >= 0 else { return }
        // The number stays this file's, for those who are about to use it.
        if dup2(nothing, descriptor) >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        Glibc.close(nothing)
    }

    var fill: Int { fills.load(ordering: .acquiring) }
    func nextFill() { fills.wrappingIncrement(ordering: .acquiringAndReleasing) }
    func unclaim(_ chunk: Int) { claims.clear(chunk) }

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
    ///
    /// - Parameter parts: nil: the chunk came as one.
    func received(_ chunk: Int, crc: UInt64, parts: ChunkParts?) -> Bool {
        knownParts.withLock { $0[chunk] = parts }
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
