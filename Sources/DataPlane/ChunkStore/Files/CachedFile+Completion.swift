internal import Checksum
internal import Crypto
internal import Glibc
internal import LinuxShim
internal import Synchronization

/// From "all chunks are here" to "published", and the ways back.
extension CachedFile {
    /// When all chunks are received: verifies, then publishes, or invalidates (first mismatch) or fails (second).
    /// Blocking: MD5 and CRC-64/NVME read the file, a disk is synced. Again on a complete file: `.published`.
    ///
    /// Errors: `.notComplete`, `.io`, `.mediumFull`, `.notOurs`.
    public func complete() throws(ChunkStoreError) -> Completion {
        let result: Result<Completion, ChunkStoreError> = completing.withLock { completing in
            do throws(ChunkStoreError) { return .success(try complete(&completing)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func complete(_ completing: inout Completing) throws(ChunkStoreError) -> Completion {
        let verification = try verify(completing.checksums)
        switch verification {
        case .verified, .unverifiable:
            if map.state != .complete || !paths.isPublished { try publish() }
            return .published(verification)
        case .mismatch(let reason):
            completing.mismatches += 1
            // Either way the bytes that were shown are wrong: readers are stopped by the epoch.
            let last = completing.mismatches > 1
            invalidateLocked(reason)
            if last { failLocked(reason) }
            return last ? .failed(reason) : .refill(reason)
        }
    }

    /// Holds the file against what the store says of it, without consequences. Blocking.
    ///
    /// Errors: `.notComplete`, `.io`.
    public func verify() throws(ChunkStoreError) -> Verification {
        let checksums = completing.withLock { $0.checksums }
        return try verify(checksums)
    }

    private func verify(_ checksums: ObjectChecksums) throws(ChunkStoreError) -> Verification {
        let missing = chunkCount - map.receivedCount
        if missing > 0 { throw .notComplete(key: key, missingChunks: missing) }
        if let expected = checksums.crc64 {
            var crc: UInt64 = 0
            for chunk in 0..<chunkCount {
                let range = range(ofChunk: chunk)
                crc = mc_crc64_combine(crc, map.checksum(chunk), range.upperBound - range.lowerBound)
            }
            return outcome("CRC-64", Hex.encode(expected), Hex.encode(crc))
        }
        if let expected = checksums.crc64nvme {
            var crc: UInt64 = 0
            try forEachPiece(0..<size) { crc = mc_crc64nvme(crc, $0.baseAddress, $0.count) }
            return outcome("CRC-64/NVME", Hex.encode(expected), Hex.encode(crc))
        }
        if let expected = checksums.md5 {
            var hash = Insecure.MD5()
            try forEachPiece(0..<size) { hash.update(bufferPointer: $0) }
            return outcome("MD5", expected.lowercased(), Hex.encode(hash.finalize()))
        }
        return .unverifiable
    }

    private func outcome(_ kind: String, _ expected: String, _ got: String) -> Verification {
        if expected == got { return .verified }
        return .mismatch("\(key): its \(kind) is \(got), the store says \(expected)")
    }

    /// Reads the range in pieces of 2 MiB.
    func forEachPiece(_ range: Range<UInt64>, _ body: (UnsafeRawBufferPointer) -> Void) throws(ChunkStoreError) {
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(Manifest.pieceBytes), alignment: 4096)
        defer { piece.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let n = Int(min(UInt64(piece.count), range.upperBound - offset))
            let got = mc_pread_all(descriptor, piece.baseAddress, n, offset)
            if got < 0 { throw .from(got, "read", "\(paths.partial)") }
            if got < n { throw .corrupt(path: "\(paths.partial)", why: "it is shorter than the object") }
            body(UnsafeRawBufferPointer(rebasing: piece[0..<n]))
            offset += UInt64(n)
        }
    }

    /// The name last: whoever finds it finds a file that is whole, verified and, on a disk, durable.
    func publish() throws(ChunkStoreError) {
        if medium == .disk {
            let result = mc_fdatasync(descriptor)
            if result < 0 { throw .from(Int(result), "sync", "\(paths.partial)") }
        }
        try paths.publish()
        map.showAllReceived()
        map.state = .complete
        announce()
    }

    /// The file cannot be completed: waiting readers get an error with this one-line message. A complete file stays.
    public func fail(reason: String) {
        completing.withLock { _ in
            if map.state != .complete { failLocked(reason) }
        }
    }

    private func failLocked(_ reason: String) {
        map.setMessage(reason)
        map.state = .failed
        announce()
    }

    /// Takes a failure back: the file may be filled again, its chunks kept. Nothing if it did not fail.
    public func resume() {
        completing.withLock { completing in
            guard map.state == .failed else { return }
            completing.mismatches = 0
            map.state = .filling
            map.setMessage("")
            announce()
        }
    }

    /// Bytes that had been shown are wrong: the plain name goes, the epoch is new, all bits are cleared; fill it again.
    /// No writer may be under way on this file; one that is gets `.stale`.
    public func invalidate(reason: String) {
        completing.withLock { _ in invalidateLocked(reason) }
    }

    /// Message, then epoch, then bits (agent_wire.h): a reader that sees a cleared bit knows why.
    private func invalidateLocked(_ reason: String) {
        paths.unpublish()
        map.setMessage(reason)
        // Under strict verification nobody has seen a byte: who waits goes on to wait.
        if (0..<chunkCount).contains(where: { map.isVisible($0) }) { map.nextEpoch() }
        nextFill()
        map.state = .filling
        map.hideAll()
        map.forgetAll()
        recount()
        announce()
    }
}
