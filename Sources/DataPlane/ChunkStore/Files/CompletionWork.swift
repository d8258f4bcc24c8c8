/// The work of ``CachedFile/complete(until:)`` in slices of ``BlockingWork/sliceBytes``, between which others have
/// their turns: a small file never waits for the digest of a large one. For one thread at a time.
public struct CompletionWork {
    /// The result of a look at the bytes, and which bytes those were.
    struct Finding {
        enum Result {
            /// Earlier, and nothing has changed since.
            case recorded(Verification)
            case verified(Verification)
            case unreadable(chunk: Int, path: String, why: String)
        }
        let result: Result
        let checksums: ObjectChecksums
        /// `CachedFile.Completing.changes` before the look.
        let changes: Int
    }

    /// A file whose digest is being taken.
    private struct Reading {
        var digest: ObjectDigest
        var offset: UInt64 = 0
        let checksums: ObjectChecksums
        let changes: Int
    }

    private enum Step {
        /// Chunks of an earlier agent, from this one on.
        case checking(Int)
        case looking
        case reading(Reading)
    }

    private let file: CachedFile
    private let stop: WorkStop
    private var step = Step.checking(0)

    /// - Parameter stop: see ``CachedFile/complete(until:)``.
    public init(_ file: CachedFile, until stop: WorkStop) {
        self.file = file
        self.stop = stop
    }

    /// Does one slice. Blocking. To be called until it has a result or throws.
    ///
    /// - Returns: nil: there is more to do.
    /// Errors: as ``CachedFile/complete(until:)``.
    public mutating func next() throws(ChunkStoreError) -> Completion? {
        switch step {
        case .checking(let chunk): return try check(from: chunk) ? nil : look()
        case .looking: return try look()
        case .reading(let reading): return try read(reading)
        }
    }

    /// Returns whether it read anything.
    private mutating func check(from first: Int) throws(ChunkStoreError) -> Bool {
        step = .looking
        guard file.uncheckedCount.load(ordering: .acquiring) > 0 else { return false }
        var bytes: UInt64 = 0
        for chunk in first..<file.chunkCount where file.isUnchecked(chunk) {
            if bytes >= BlockingWork.sliceBytes {
                step = .checking(chunk)
                return true
            }
            if stop.isStopped { throw .stale(key: file.key, chunk: chunk) }
            file.check(chunk)
            bytes += UInt64(file.range(ofChunk: chunk).count)
        }
        return bytes > 0
    }

    /// Without a lock and without consequences, as all until ``settle(_:_:_:)``.
    private mutating func look() throws(ChunkStoreError) -> Completion? {
        let changes = try file.locked { completing throws(ChunkStoreError) in
            try file.refuseIfOver()
            return completing.changes
        }
        let checksums = file.checksums.withLock { $0 }
        if let known = file.recorded(checksums) { return try settle(.recorded(known), checksums, changes) }
        try file.refuseIfIncomplete()
        guard let digest = ObjectDigest(checksums.deciding, bytes: file.size) else {
            return try settle(.verified(file.withoutReading(checksums)), checksums, changes)
        }
        return try read(Reading(digest: digest, checksums: checksums, changes: changes))
    }

    private mutating func read(_ former: Reading) throws(ChunkStoreError) -> Completion? {
        var reading = former
        let end = min(file.size, reading.offset + BlockingWork.sliceBytes)
        do throws(ChunkStoreError) {
            try file.forEachBuffer(reading.offset..<end, until: stop) { reading.digest.take($0) }
        } catch .unreadable(let path, let chunk, let why) {
            return try settle(.unreadable(chunk: chunk, path: path, why: why), reading.checksums, reading.changes)
        }
        reading.offset = end
        step = .reading(reading)
        guard end == file.size else { return nil }
        return try settle(.verified(file.outcome(reading.digest)), reading.checksums, reading.changes)
    }

    private mutating func settle(
        _ result: Finding.Result, _ checksums: ObjectChecksums, _ changes: Int
    ) throws(ChunkStoreError) -> Completion? {
        switch result {
        case .unreadable: break
        case .verified(.mismatch) where !checksums.isTagAlone: break
        case .recorded, .verified: if try !file.isPublished() { try file.syncData() }
        }
        // Should it be worthless: chunks were lost and came again meanwhile.
        step = .looking
        let finding = Finding(result: result, checksums: checksums, changes: changes)
        return try file.locked { completing throws(ChunkStoreError) in try file.settle(finding, &completing) }
    }
}
