internal import Glibc
internal import LinuxShim
internal import Synchronization
internal import TextCoding

/// From "all chunks are here" to "published", and the ways back.
extension CachedFile {
    /// When all chunks are received: checks those that are unchecked, verifies, then publishes, or invalidates (first
    /// mismatch) or fails (second). Blocking, so on ``BlockingWork``, there in slices (``CompletionWork``): MD5 and
    /// CRC-64/NVME read the file, a disk is synced. Meanwhile no lock is held, and the file may fail or close. Again on
    /// a complete file: `.published`. A file that was verified before a restart, or when its name was taken, is not
    /// read again for its digest.
    ///
    /// - Parameter stop: ends it within the time of a 2 MiB read; the file stays as it is.
    /// Errors: `.notComplete`, also when a chunk was found wrong or could not be read back: it is missing then, and
    /// told by `CachedModel.lostChunks()`; `.stale`: stopped, closed or failed; `.io`, `.mediumFull`, `.nameTaken`.
    public func complete(until stop: WorkStop = WorkStop()) throws(ChunkStoreError) -> Completion {
        var work = CompletionWork(self, until: stop)
        while true { if let completion = try work.next() { return completion } }
    }

    func locked<Value: Sendable>(
        _ body: (inout Completing) throws(ChunkStoreError) -> Value
    ) throws(ChunkStoreError) -> Value {
        let result: Result<Value, ChunkStoreError> = completing.withLock { completing in
            do throws(ChunkStoreError) { return .success(try body(&completing)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Another version may have the names of a closed file by now, and publishing links by path.
    func refuseIfOver() throws(ChunkStoreError) {
        if isClosed || map.state == .failed { throw .stale(key: key, chunk: 0) }
    }

    func isPublished() throws(ChunkStoreError) -> Bool {
        map.state == .complete ? try paths.isPublished() : false
    }

    /// How a file that is complete was found to be before a restart, or when its name was taken.
    func recorded(_ checksums: ObjectChecksums) -> Verification? {
        guard map.receivedCount == chunkCount else { return nil }
        return switch map.record {
        case .verified where checksums.crc64 == nil: .verified
        case .unverifiable where checksums.isWeak: .unverifiable
        case .verified, .unverifiable, .nothing: nil
        }
    }

    /// Nil: the finding is of bytes that have changed.
    func settle(
        _ finding: CompletionWork.Finding, _ completing: inout Completing
    ) throws(ChunkStoreError) -> Completion? {
        try refuseIfOver()
        guard completing.changes == finding.changes else { return nil }
        let verification: Verification?
        switch finding.result {
        case .recorded(let known): verification = known
        case .verified(let found): verification = judge(found, finding.checksums, &completing)
        case .unreadable(let chunk, let path, let why): throw giveUp(chunk, path: path, why, &completing)
        }
        switch verification {
        case nil:
            return .doubted("\(key): its entity tag is not its MD5; that need not be wrong, so it is read once more")
        case .verified?, .unverifiable?:
            if try !isPublished() {
                let record: PresenceMap.Record = verification == .verified ? .verified : .unverifiable
                do throws(ChunkStoreError) { try publish(record: record) } catch {
                    if case .nameTaken = error {
                        completing.nameTakenAt = completing.changes
                        // The bytes stay what they were found to be: once the name is free they are not read again.
                        map.record = record
                    }
                    throw error
                }
            }
            return .published(verification ?? .unverifiable)
        case .mismatch(let reason)?:
            completing.mismatches += 1
            // Either way the bytes that were shown are wrong: readers are stopped by the epoch. An empty file has none
            // to fetch again.
            let last = completing.mismatches > 1 || chunkCount == 0
            invalidateLocked(reason, &completing)
            if last { failLocked(reason, alone: true, &completing) }
            return last ? .failed(reason) : .refill(reason)
        }
    }

    /// How often a chunk is fetched again because the medium cannot read back what was written.
    private static let maximumMediumFaults = 3

    /// A chunk that cannot be read is fetched again: a disk gives a block that it rewrites another place. Not for ever.
    private func giveUp(_ chunk: Int, path: String, _ why: String, _ completing: inout Completing) -> ChunkStoreError {
        completing.mediumFaults += 1
        guard completing.mediumFaults <= Self.maximumMediumFaults else {
            return .corrupt(
                path: path,
                why:
                    "chunk \(chunk) of \(key) was written \(completing.mediumFaults) times and cannot be read: \(why)"
            )
        }
        forgetLocked(chunk, why, &completing)
        return .notComplete(key: key, missingChunks: 1)
    }

    /// Weighs an entity tag, where it is all the evidence; nil: the file is to be fetched once more, readers go on.
    private func judge(
        _ found: Verification, _ checksums: ObjectChecksums, _ completing: inout Completing
    ) -> Verification? {
        guard checksums.isTagAlone else { return found }
        switch found {
        case .mismatch where map.state == .complete || chunkCount == 0:
            // It was published before: the tag was found then to be no checksum. Of an empty file there is nothing to
            // fetch again.
            return .unverifiable
        case .mismatch:
            switch completing.tag.differed(combinedChecksum) {
            case .fetchAgain:
                refetchLocked(&completing)
                return nil
            case .unverifiable: return .unverifiable
            case .wrongBytes: return found
            }
        case .verified where completing.tag.matched(combinedChecksum):
            // Readers may have seen the first download, which was wrong.
            map.setMessage("\(key): bytes that were shown first were wrong; start again")
            if (0..<chunkCount).contains(where: { map.isVisible($0) }) { map.nextEpoch() }
            return found
        case .verified, .unverifiable: return found
        }
    }

    /// Why the bytes of the published file could not be checked; nil: they were, or it is not published.
    public var unverifiableReason: String? {
        guard map.state == .complete, map.record == .unverifiable else { return nil }
        let isTagged = checksums.withLock { $0.md5 != nil }
        return isTagged ? "its entity tag is not its MD5" : "the store has no checksum of the complete object"
    }

    /// Holds the file against what the store says of it, without consequences. Blocking.
    ///
    /// Errors: `.notComplete`, `.unreadable`.
    public func verify() throws(ChunkStoreError) -> Verification {
        try refuseIfIncomplete()
        return try compare(checksums.withLock { $0 })
    }

    func refuseIfIncomplete() throws(ChunkStoreError) {
        let missing = chunkCount - map.receivedCount
        if missing > 0 { throw .notComplete(key: key, missingChunks: missing) }
    }

    /// Reads the range, 2 MiB at a time. Errors: `.unreadable`; `.stale`: `stop` came meanwhile.
    func forEachBuffer(
        _ range: Range<UInt64>, until stop: WorkStop? = nil, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(ChunkStoreError) {
        try ThreadBuffer.withBytes { (buffer) throws(ChunkStoreError) in
            var offset = range.lowerBound
            while offset < range.upperBound {
                if let stop, stop.isStopped { throw .stale(key: key, chunk: Int(offset / chunkBytes)) }
                let n = Int(min(UInt64(buffer.count), range.upperBound - offset))
                let got = mc_pread_all(descriptor, buffer.baseAddress, n, offset)
                if got < n {
                    let why = got < 0 ? String(cString: strerror(Int32(-got))) : "it is shorter than the object"
                    throw .unreadable(
                        path: "\(paths.partial)", chunk: Int((offset + UInt64(max(0, got))) / chunkBytes), why: why)
                }
                body(UnsafeRawBufferPointer(rebasing: buffer[0..<n]))
                offset += UInt64(n)
            }
        }
    }

    /// On a disk: blocks until the bytes are durable.
    func syncData() throws(ChunkStoreError) {
        guard medium == .disk else { return }
        let result = mc_fdatasync(descriptor)
        if result < 0 { throw .from(Int(result), "sync", "\(paths.partial)") }
    }

    /// The name last: whoever finds it finds a file that is complete, verified and, after ``syncData()``, durable.
    func publish(record: PresenceMap.Record) throws(ChunkStoreError) {
        try paths.publish()
        // After the link, which changes the times. A crash in between costs a check without the name, no more.
        map.record = record
        var status = mc_stat()
        if mc_stat_descriptor(descriptor, &status) == 0 {
            map.publishedTimes = (status.modified_nanoseconds, status.changed_nanoseconds)
        }
        map.showAllReceived()
        map.state = .complete
        announce()
    }

    /// The file cannot be completed: waiting readers get an error with this one-line message, and a verification that
    /// is under way changes nothing. A complete file stays.
    ///
    /// - Parameter alone: the reason is the file's own, and a new fill would meet it again (``failedAlone``).
    public func fail(reason: String, alone: Bool = false) {
        completing.withLock { completing in
            if map.state != .complete { failLocked(reason, alone: alone, &completing) }
        }
    }

    func failLocked(_ reason: String, alone: Bool, _ completing: inout Completing) {
        completing.hasFailedForName = completing.nameTakenAt == completing.changes
        completing.hasFailedAlone = alone
        completing.changes += 1
        map.setMessage(reason)
        map.state = .failed
        announce()
    }

    /// The file is complete, and failed because something that is not ours had its name. Takes no lock that is held
    /// while bytes are read.
    public var failedForItsName: Bool {
        map.state == .failed && !isClosed && completing.withLock { $0.hasFailedForName }
    }

    /// The file failed for a reason of its own: other files, and later fills with other credentials, fare no better or
    /// worse for it.
    public var failedAlone: Bool {
        map.state == .failed && completing.withLock { $0.hasFailedAlone || $0.hasFailedForName }
    }

    /// Once its name is free, a file that failed for it is completed as by ``complete(until:)``. It fails again where
    /// that publishes nothing. Blocking.
    ///
    /// - Returns: whether it is published; nil: something has the name still, or it did not fail for that.
    public func completeWithFreeName() -> Bool? {
        guard failedForItsName, isNameFree else { return nil }
        resume()
        do throws(ChunkStoreError) {
            switch try complete() {
            case .published: return true
            // No fill fetches it again; the next opening begins one.
            case .refill(let reason), .doubted(let reason), .failed(let reason): fail(reason: reason)
            }
        } catch {
            fail(reason: "\(error)")
        }
        return false
    }

    private var isNameFree: Bool {
        do throws(ChunkStoreError) { return try paths.foreignName() == nil } catch { return false }
    }

    /// Takes a failure back: the file may be filled again, its chunks kept. Nothing if it did not fail, or is closed:
    /// nobody fills it any more. Waits for a name that is given or taken, as ``fail(reason:)`` does.
    public func resume() {
        completing.withLock { completing in
            guard map.state == .failed, !isClosed else { return }
            completing.mismatches = 0
            completing.hasFailedForName = false
            completing.hasFailedAlone = false
            map.state = .filling
            map.setMessage("")
            announce()
        }
    }

    /// Bytes that had been shown are wrong: the plain name goes, the epoch is new, all bits are cleared; fill it again.
    /// No writer may be under way on this file; one that is gets `.stale`.
    public func invalidate(reason: String) {
        completing.withLock { invalidateLocked(reason, &$0) }
    }

    /// All chunks are to come once more, into the same pages; what is visible stays so.
    private func refetchLocked(_ completing: inout Completing) {
        completing.changes += 1
        nextFill()
        map.state = .filling
        map.record = .nothing
        knownParts.withLock { $0 = [:] }
        map.forgetAll()
        recount()
    }

    /// Message, then epoch, then bits (agent_wire.h): a reader that sees a cleared bit knows why.
    private func invalidateLocked(_ reason: String, _ completing: inout Completing) {
        completing.changes += 1
        // Where the name cannot be taken the right bytes come under it.
        try? paths.unpublish()
        map.setMessage(reason)
        // Under strict verification nobody has seen a byte: who waits goes on to wait.
        if (0..<chunkCount).contains(where: { map.isVisible($0) }) { map.nextEpoch() }
        nextFill()
        map.state = .filling
        map.record = .nothing
        map.hideAll()
        for chunk in 0..<chunkCount where unchecked.clear(chunk) {
            uncheckedCount.wrappingDecrement(ordering: .acquiringAndReleasing)
        }
        knownParts.withLock { $0 = [:] }
        map.forgetAll()
        recount()
        announce()
    }
}
