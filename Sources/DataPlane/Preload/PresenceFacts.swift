import AgentWire

/// The parts of a presence file's header that a reader relies on, each read once.
///
/// Where a pod may write to its volume, other bytes may stand there than the agent wrote: whatever they are, chunks and
/// bits lie within what is mapped, and no sum overflows. `Tests/Fuzz` (presence-reader) holds that.
struct PresenceFacts: Equatable {
    let fileIndex: UInt32
    let chunkBytes: UInt64
    let chunkCount: UInt64
    /// Of the bitmap, from the start of the presence file.
    let visibleOffset: UInt64

    /// A chunk has at most 8 MiB; the bound is what keeps sums of offsets in range.
    private static let mostChunkBytes: UInt64 = 1 << 40

    /// Nil: it is not the presence file of this data file.
    ///
    /// - Parameters:
    ///   - size: bytes that are mapped, ``MC_PRESENCE_HEADER_BYTES`` at least.
    ///   - fileBytes: size of the data file, above 0.
    ///   - inode: of the data file.
    init?(
        _ header: UnsafePointer<mc_presence_header>, size: UInt64, fileBytes: UInt64, inode: UInt64, pageBytes: UInt64
    ) {
        let chunkBytes = header.pointee.chunk_bytes
        let chunkCount = header.pointee.chunk_count
        let visibleOffset = header.pointee.visible_offset
        let describedInode = header.pointee.data_inode
        guard header.pointee.magic == MC_PRESENCE_MAGIC, header.pointee.version == MC_PRESENCE_VERSION,
            // Not of an update that is just being made.
            describedInode == 0 || describedInode == inode,
            header.pointee.file_bytes == fileBytes, fileBytes > 0, fileBytes <= UInt64(Int64.max),
            chunkBytes > 0, chunkBytes <= Self.mostChunkBytes, chunkBytes % pageBytes == 0,
            chunkCount == (fileBytes - 1) / chunkBytes + 1,
            visibleOffset % 8 == 0, visibleOffset <= size, (chunkCount + 63) / 64 * 8 <= size - visibleOffset
        else { return nil }
        fileIndex = header.pointee.file_index
        self.chunkBytes = chunkBytes
        self.chunkCount = chunkCount
        self.visibleOffset = visibleOffset
    }
}
