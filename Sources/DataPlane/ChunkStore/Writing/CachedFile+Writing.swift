internal import Glibc
internal import LinuxShim

/// How bytes get into a data file. Readers' gate is the presence map in either way: mappings of theirs see a page only after
/// UFFDIO_CONTINUE.
extension CachedFile {
    /// At a time, one writes and one waits: on every processor at once they would only queue.
    private static let mostLocking = 2

    /// Puts a staged piece into the file, by the cheaper of two ways.
    ///
    /// pwrite(2) of a whole huge page does not clear it first, but holds the inode's lock: one writer of a file at a time. Writing
    /// through a mapping clears the page and locks nothing. So the first come write and the others, when there are others, map.
    func put(_ piece: UnsafeRawBufferPointer, at offset: UInt64) throws(ChunkStoreError) {
        defer { locking.wrappingDecrement(ordering: .relaxed) }
        if locking.loadThenWrappingIncrement(ordering: .relaxed) >= Self.mostLocking,
            var mapped = mapForWriting(offset..<offset + UInt64(piece.count))
        {
            defer { mapped.unmap() }
            do {
                try mapped.writable(from: 0, length: piece.count).copyMemory(from: piece)
            } catch {
                throw writeError(Int(error.code))
            }
        } else {
            try write(piece, at: offset)
        }
    }

    /// Whether ``put(_:at:)`` would write and not map.
    var isQuiet: Bool { locking.load(ordering: .relaxed) < Self.mostLocking }

    /// Puts a pipe's bytes into the file.
    func put(_ pipe: inout ReceivePipe, at offset: UInt64) throws(ChunkStoreError) {
        locking.wrappingIncrement(ordering: .relaxed)
        defer { locking.wrappingDecrement(ordering: .relaxed) }
        let result = pipe.empty(into: descriptor, at: offset)
        if result < 0 { throw writeError(result) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(ChunkStoreError) {
        let result = mc_pwrite_all(descriptor, bytes.baseAddress, bytes.count, offset)
        if result < 0 { throw writeError(Int(result)) }
        // Dirty pages must not pile up until the sync before publication stalls on all of them.
        if medium == .disk { _ = mc_start_writeback(descriptor, offset, UInt64(bytes.count)) }
    }

    func writeError(_ result: Int) -> ChunkStoreError { .from(result, "write", "\(paths.partial)") }

    /// Nil where a mapping does not pay or is not to be had.
    func mapForWriting(_ range: Range<UInt64>) -> MappedRange? {
        medium == .hugeTmpfs ? MappedRange(descriptor: descriptor, range: range) : nil
    }
}
