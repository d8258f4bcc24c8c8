internal import Checksum
internal import Glibc
internal import LinuxShim

/// One chunk that was copied from a file of another cache.
public struct CopiedChunk: Sendable, Hashable {
    public let chunk: Int
    /// CRC-64/ECMA of each of its blocks, in order.
    public let digests: [UInt64]
}

/// The result of a copy of some chunks.
public enum ChunkCopy: Sendable, Hashable {
    /// These are received now; the others were, or have another writer.
    case copied([CopiedChunk])
    /// The donor's bytes are not those that it had when it was verified; nothing was copied.
    case damaged
    /// The donor was evicted, changed, or cannot be read; nothing was copied.
    case gone
}

/// Chunks from a complete file of another cache with the same bytes.
extension CachedFile {
    /// Every byte is here and equal to the store's checksum.
    public var isVerified: Bool { map.state == .complete && map.record == .verified }

    /// How many chunks are copied from `donor` at once, so that they are whole chunks of both files; nil: none can be.
    public func chunksOfCopy(from donor: CachedFile) -> Int? {
        let (small, large) = (min(chunkBytes, donor.chunkBytes), max(chunkBytes, donor.chunkBytes))
        guard size == donor.size, size > 0, large % small == 0 else { return nil }
        return Int(large / chunkBytes)
    }

    /// Copies those of `chunks` that are missing. Blocking: reads as many bytes.
    ///
    /// None of them is received, and so none is visible, before their bytes were held against the CRC-64 of the donor's
    /// chunks. The complete file is still to be verified (``complete(until:)``), as one that came from the store.
    ///
    /// - Parameters:
    ///   - chunks: whole chunks of the donor, see ``chunksOfCopy(from:)``.
    ///   - blockBytes: of the digests; a chunk is a whole number of blocks.
    ///   - turn: gives the copy up while the donor's disk hangs; the result, whenever it comes, is ``ChunkCopy/gone``.
    /// Errors: of this file: `.stale`, `.mediumFull`, `.io`.
    public func copy(
        _ chunks: Range<Int>, from donor: CachedFile, blockBytes: UInt64, turn: CopyTurn = CopyTurn()
    ) throws(ChunkStoreError) -> ChunkCopy {
        let range = range(ofChunk: chunks.lowerBound).lowerBound..<range(ofChunk: chunks.upperBound - 1).upperBound
        guard let expected = donor.checksumOfVerified(range) else { return .gone }
        var assemblies: [Int: ChunkAssembly] = [:]
        defer { for assembly in assemblies.values { assembly.abort() } }
        for chunk in chunks {
            do throws(ChunkStoreError) {
                assemblies[chunk] = try assembleChunk(chunk, blockBytes: blockBytes)
            } catch .chunkReceived {
                continue
            } catch .chunkBusy {
                continue
            }
        }
        if assemblies.isEmpty { return .copied([]) }
        guard turn.begins(Array(assemblies.values), readsAside: donor.isOnDisk),
            let digests = try copyBytes(range, from: donor, into: assemblies, blockBytes, turn)
        else { return .gone }
        guard combined(digests, blockBytes, of: range) == expected else { return donor.isVerified ? .damaged : .gone }
        guard turn.ends() else { return .gone }
        var copied: [CopiedChunk] = []
        for (chunk, assembly) in assemblies.sorted(by: { $0.key < $1.key }) {
            let first = Int((assembly.range.lowerBound - range.lowerBound) / blockBytes)
            let own = Array(digests[first..<first + assembly.blockCount])
            for (block, digest) in own.enumerated() { _ = try assembly.accept(block: block, checksum: digest) }
            copied.append(CopiedChunk(chunk: chunk, digests: own))
        }
        return .copied(copied)
    }

    /// CRC-64 of whole chunks as they were verified; nil: they are not any more.
    private func checksumOfVerified(_ range: Range<UInt64>) -> UInt64? {
        let chunks = Int(range.lowerBound / chunkBytes)..<Int((range.upperBound - 1) / chunkBytes) + 1
        guard isVerified, !isClosed, chunks.allSatisfy({ map.isReceived($0) }) else { return nil }
        return combined(chunks.map { map.checksum($0) }, chunkBytes, of: range)
    }

    /// Returns the blocks' CRCs, taken on the bytes as they pass; nil: the donor cannot be read, or the copy was given
    /// up.
    private func copyBytes(
        _ range: Range<UInt64>, from donor: CachedFile, into assemblies: [Int: ChunkAssembly], _ blockBytes: UInt64,
        _ turn: CopyTurn
    ) throws(ChunkStoreError) -> [UInt64]? {
        try ThreadBuffer.withBytes { (buffer) throws(ChunkStoreError) in
            try copyBytes(range, from: donor, into: assemblies, blockBytes, turn, by: buffer)
        }
    }

    private func copyBytes(
        _ range: Range<UInt64>, from donor: CachedFile, into assemblies: [Int: ChunkAssembly], _ blockBytes: UInt64,
        _ turn: CopyTurn, by buffer: UnsafeMutableRawBufferPointer
    ) throws(ChunkStoreError) -> [UInt64]? {
        // No step lies in two chunks: they are multiples of it.
        let step = UInt64(buffer.count)
        var digests = BlockDigests(blockBytes: blockBytes)
        var offset = range.lowerBound
        while offset < range.upperBound {
            let next = offset..<min(offset + step, range.upperBound)
            let assembly = assemblies[Int(offset / chunkBytes)]
            // A read of a disk may end after another writer has the chunk.
            let mapped = donor.isOnDisk ? nil : try assembly?.mappedSpace(next)
            let space = mapped ?? UnsafeMutableRawBufferPointer(rebasing: buffer[..<next.count])
            donor.readForCopy.withLock { $0 }?()
            guard mc_pread_all(donor.descriptor, space.baseAddress, next.count, offset) == next.count else {
                return nil
            }
            digests.take(UnsafeRawBufferPointer(space))
            let hasGoneOn = try turn.writes { () throws(ChunkStoreError) in
                guard mapped == nil, let assembly else { return }
                try put(UnsafeRawBufferPointer(space), at: next, into: assembly)
            }
            guard hasGoneOn else { return nil }
            offset = next.upperBound
        }
        return digests.all
    }

    private func put(
        _ bytes: UnsafeRawBufferPointer, at range: Range<UInt64>, into assembly: ChunkAssembly
    ) throws(ChunkStoreError) {
        guard let mapped = try assembly.mappedSpace(range) else { return try write(bytes, at: range.lowerBound) }
        mapped.copyMemory(from: bytes)
    }

    /// For tests: `body` is called before each read of this file for a copy, on the thread that reads.
    package func onReadForCopy(_ body: (@Sendable () -> Void)?) { readForCopy.withLock { $0 = body } }
}

/// CRC-64/ECMA of blocks whose bytes come in order.
struct BlockDigests {
    private let blockBytes: UInt64
    private var whole: [UInt64] = []
    private var crc: UInt64 = 0
    /// Of the block at hand.
    private var taken: UInt64 = 0

    init(blockBytes: UInt64) { self.blockBytes = blockBytes }

    /// That of the last block too, which may be short.
    var all: [UInt64] { taken == 0 ? whole : whole + [crc] }

    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        var at = 0
        while at < bytes.count {
            let count = Int(min(UInt64(bytes.count - at), blockBytes - taken))
            crc = mc_crc64(crc, bytes.baseAddress.map { $0 + at }, count)
            at += count
            taken += UInt64(count)
            guard taken == blockBytes else { return }
            whole.append(crc)
            (crc, taken) = (0, 0)
        }
    }
}
