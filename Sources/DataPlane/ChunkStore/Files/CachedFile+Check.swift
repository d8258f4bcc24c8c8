internal import Checksum
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// The result of a chunk's check against its stored CRC.
public enum ChunkCheck: Sendable, Hashable {
    /// The bytes are right; CRC-64/ECMA of each block, in order.
    case right([UInt64])
    /// The bytes were not right, or could not be read: the chunk is missing now.
    case wrong
    /// The chunk is missing.
    case absent
}

/// A chunk that an earlier agent received is *unchecked* until its bytes were held against the CRC that is kept for it:
/// no reader sees it, no peer gets it. A wrong one is forgotten and fetched again.
///
/// One exception: a file on a tmpfs that has its plain name, and whose times are those recorded when it got that, keeps
/// name and visibility meanwhile, since nothing has written to it. It is checked like the others.
extension CachedFile {
    /// Whether the chunk was received by an earlier agent and not checked yet.
    public func isUnchecked(_ chunk: Int) -> Bool { unchecked.isSet(chunk) }

    /// Every byte is here and was verified by an earlier agent: once the chunks are checked the file is complete. Takes
    /// no lock, so that whoever asks does not wait for the file system.
    public var awaitsChecksAlone: Bool {
        map.state == .filling && map.record != .nothing && map.receivedCount == chunkCount
    }

    /// Takes the file over from the last agent at a start: every received chunk is kept and is unchecked. A failed file
    /// gets another chance.
    ///
    /// Errors: `.io` when its plain name cannot be looked at, or not be taken from it until its chunks are checked.
    func recover() throws(ChunkStoreError) {
        let isComplete = map.receivedCount == chunkCount
        let isPublished = try paths.isPublished()
        // Releases that kept no record published nothing else.
        if isPublished && isComplete && map.record == .nothing { map.record = .verified }
        if !isComplete { map.record = .nothing }
        let stands = isPublished && isComplete && (chunkCount == 0 || medium != .disk && isUntouched)
        if stands {
            map.showAllReceived()
            map.state = .complete
        } else {
            map.hideAll()
            try paths.unpublish()
            map.state = .filling
            map.setMessage("")
        }
        for chunk in 0..<chunkCount where map.isReceived(chunk) && unchecked.set(chunk) {
            uncheckedCount.wrappingIncrement(ordering: .acquiringAndReleasing)
        }
        recount()
        map.announce()
    }

    /// Whether nobody has written to the file or changed its names since it was published.
    private var isUntouched: Bool {
        var status = mc_stat()
        guard mc_stat_descriptor(descriptor, &status) == 0, let times = map.publishedTimes else { return false }
        return times == (status.modified_nanoseconds, status.changed_nanoseconds)
    }

    /// CRC-64/ECMA of each block of a received chunk, in order, without a read. Those of a chunk that this agent
    /// received or checked are remembered, so that no fill after the first one reads the chunk for them.
    ///
    /// Nil: the chunk is missing, unchecked, or known by parts of which the blocks are not made.
    public func knownDigests(of chunk: Int, blockBytes: UInt64) -> [UInt64]? {
        guard map.isReceived(chunk), !unchecked.isSet(chunk) else { return nil }
        if blockBytes >= chunkBytes { return [map.checksum(chunk)] }
        guard let known = knownParts.withLock({ $0[chunk] }), blockBytes % known.bytes == 0 else { return nil }
        return blocks(of: known, chunk, blockBytes)
    }

    /// Reads the chunk's bytes and holds them against its CRC. An unchecked chunk that is right becomes visible, and
    /// with the last one of a file that had its plain name the name is back; one that is wrong is forgotten. Blocking:
    /// reads a chunk. ``knownDigests(of:blockBytes:)`` has the digests without that, where they are known.
    ///
    /// - Parameter blockBytes: for the CRCs of blocks; a chunk is a whole number of them.
    public func check(_ chunk: Int, blockBytes: UInt64) -> ChunkCheck {
        if !map.isReceived(chunk) { return .absent }
        let fill = fill
        let wasUnchecked = unchecked.isSet(chunk)
        // A small model that was a large one has smaller blocks than its chunks' usual parts.
        let partBytes = blockBytes % usualPartBytes == 0 ? usualPartBytes : blockBytes
        let expected = map.checksum(chunk)
        var reason = "its bytes do not have the CRC-64 that is kept for it"
        var read: [UInt64]?
        do throws(ChunkStoreError) { read = try partChecksums(chunk, partBytes) } catch { reason = "\(error)" }
        guard let read, combined(read, partBytes, of: range(ofChunk: chunk)) == expected else {
            forget(chunk, had: expected, fill: fill, wasUnchecked: wasUnchecked, reason)
            return .wrong
        }
        let parts = ChunkParts(bytes: partBytes, checksums: read)
        if wasUnchecked { confirm(chunk, parts, fill: fill) } else { remember(chunk, parts, had: expected, fill: fill) }
        return .right(blocks(of: parts, chunk, blockBytes))
    }

    /// As ``check(_:blockBytes:)``, for the check alone.
    @discardableResult
    func check(_ chunk: Int) -> ChunkCheck { check(chunk, blockBytes: chunkBytes) }

    // MARK: Outcomes

    /// `had`: the chunk may have been fetched again since.
    private func remember(_ chunk: Int, _ parts: ChunkParts, had crc: UInt64, fill: Int) {
        completing.withLock { _ in
            guard self.fill == fill, map.isReceived(chunk), map.checksum(chunk) == crc else { return }
            knownParts.withLock { $0[chunk] = parts }
        }
    }

    private func confirm(_ chunk: Int, _ parts: ChunkParts, fill: Int) {
        let isLast = completing.withLock { _ in
            // Begun anew meanwhile, or checked by another thread.
            guard self.fill == fill, unchecked.clear(chunk) else { return false }
            knownParts.withLock { $0[chunk] = parts }
            if visibility == .streaming { map.setVisible(chunk) }
            return uncheckedCount.wrappingDecrementThenLoad(ordering: .acquiringAndReleasing) == 0
        }
        announce()
        if isLast { restoreName() }
    }

    /// The file was verified before, and every chunk has the bytes that it had then.
    private func restoreName() {
        let before: Int? = completing.withLock { isClosed || !awaitsChecksAlone ? nil : $0.changes }
        // Without the name for now where it fails: a fill completes the file.
        guard let before, (try? syncData()) != nil else { return }
        completing.withLock { completing in
            guard completing.changes == before, !isClosed, awaitsChecksAlone else { return }
            do throws(ChunkStoreError) { try publish(record: map.record) } catch {
                guard case .nameTaken = error else { return }
                completing.nameTakenAt = completing.changes
                failLocked("\(error)", alone: false, &completing)
            }
        }
    }

    /// `had` and `wasUnchecked`: as the check found the chunk, which may have been fetched again since.
    private func forget(_ chunk: Int, had crc: UInt64, fill: Int, wasUnchecked: Bool, _ reason: String) {
        completing.withLock { completing in
            // Of a file that is closed another one may have the name.
            guard !isClosed, self.fill == fill, map.isReceived(chunk), map.checksum(chunk) == crc,
                unchecked.isSet(chunk) == wasUnchecked
            else {
                return
            }
            forgetLocked(chunk, reason, &completing)
        }
    }

    /// Message and epoch first (agent_wire.h), if anybody can have seen the bytes since this agent began.
    func forgetLocked(_ chunk: Int, _ reason: String, _ completing: inout Completing) {
        completing.changes += 1
        // Where the name cannot be taken the right bytes come under it.
        try? paths.unpublish()
        map.record = .nothing
        if map.isVisible(chunk) {
            map.setMessage(
                "chunk \(chunk) of \(key) was damaged on this node and is fetched again; start the program again")
            map.nextEpoch()
        }
        if map.state == .complete { map.state = .filling }
        knownParts.withLock { $0[chunk] = nil }
        map.clearVisible(chunk)
        map.clearReceived(chunk)
        if unchecked.clear(chunk) { uncheckedCount.wrappingDecrement(ordering: .acquiringAndReleasing) }
        missing.wrappingIncrement(ordering: .acquiringAndReleasing)
        announce()
        lost(
            LostChunk(
                fileIndex: fileIndex, key: key, chunk: chunk, isAwaited: demandedChecks.isSet(chunk), reason: reason))
    }

    // MARK: Reading

    /// A chunk is checked in so many parts at most, of which the CRCs of blocks are put together.
    private static let partsOfChunk: UInt64 = 32
    private var usualPartBytes: UInt64 { max(1, chunkBytes / Self.partsOfChunk) }

    private func partChecksums(_ chunk: Int, _ partBytes: UInt64) throws(ChunkStoreError) -> [UInt64] {
        var parts = BlockDigests(blockBytes: partBytes)
        try forEachBuffer(range(ofChunk: chunk)) { parts.take($0) }
        return parts.all
    }

    /// CRC-64 of the range out of those of its parts, all of which but the last are equally long.
    func combined(_ parts: some Collection<UInt64>, _ partBytes: UInt64, of range: Range<UInt64>) -> UInt64 {
        var crc: UInt64 = 0
        var at = range.lowerBound
        for part in parts {
            let end = min(at + partBytes, range.upperBound)
            crc = at == range.lowerBound ? part : mc_crc64_combine(crc, part, end - at)
            at = end
        }
        return crc
    }

    private func blocks(of parts: ChunkParts, _ chunk: Int, _ blockBytes: UInt64) -> [UInt64] {
        precondition(blockBytes % parts.bytes == 0, "a block is a whole number of parts")
        let all = parts.checksums
        let range = range(ofChunk: chunk)
        let perBlock = Int(blockBytes / parts.bytes)
        if perBlock == 1 { return all }
        return stride(from: 0, to: all.count, by: perBlock).map { first in
            let start = range.lowerBound + UInt64(first) * parts.bytes
            return combined(
                all[first..<min(first + perBlock, all.count)], parts.bytes,
                of: start..<min(start + blockBytes, range.upperBound))
        }
    }
}

/// CRC-64/ECMA of the parts of one chunk, in order.
struct ChunkParts: Sendable {
    /// Of each part but the last.
    let bytes: UInt64
    let checksums: [UInt64]
}

/// A chunk that was here and is missing now, because its bytes were found wrong: it is to be fetched again.
public struct LostChunk: Sendable, Hashable {
    public let fileIndex: UInt32
    public let key: String
    public let chunk: Int
    /// A reader waits for it.
    public let isAwaited: Bool
    /// One line.
    public let reason: String
}
