public import ChunkStore
internal import SwarmPlan

/// A model as blocks 0..<count over all its files in manifest order: the unit of transfer between nodes and of peer
/// digests.
///
/// It follows from the manifest alone, so that every node means the same bytes by an index. Every file begins a new
/// block, a chunk is a whole number of blocks (but for a file's end), and an empty file has none.
public struct BlockLayout: Sendable, Equatable {
    /// Length of every block but each file's last, in bytes.
    public let blockBytes: UInt64
    public let chunkBytes: UInt64
    /// Bytes of each file.
    public let fileSizes: [UInt64]
    /// First block of each file, and the count at the end.
    public let fileStarts: [Int]

    public var count: Int { fileStarts[fileStarts.count - 1] }
    public var totalBytes: UInt64 { fileSizes.reduce(0, +) }

    /// Where a block lies.
    public struct Place: Sendable, Hashable {
        public let file: Int
        public let chunk: Int
        /// Index in the chunk.
        public let blockOfChunk: Int
        /// Bytes of the file.
        public let range: Range<UInt64>

        public init(file: Int, chunk: Int, blockOfChunk: Int, range: Range<UInt64>) {
            self.file = file
            self.chunk = chunk
            self.blockOfChunk = blockOfChunk
            self.range = range
        }
    }

    public init(_ manifest: Manifest) {
        self.init(
            fileSizes: manifest.files.map(\.size), chunkBytes: manifest.chunkBytes,
            blockBytes: Self.blockBytes(forTotal: manifest.totalBytes, chunkBytes: manifest.chunkBytes))
    }

    public init(fileSizes: [UInt64], chunkBytes: UInt64, blockBytes: UInt64) {
        precondition(blockBytes > 0 && chunkBytes % blockBytes == 0, "a chunk is a whole number of blocks")
        self.fileSizes = fileSizes
        self.chunkBytes = chunkBytes
        self.blockBytes = blockBytes
        var starts = [0]
        for size in fileSizes { starts.append(starts[starts.count - 1] + Int((size + blockBytes - 1) / blockBytes)) }
        fileStarts = starts
    }

    /// ``SwarmBlockSize``, so that a chunk is a whole number of blocks.
    public static func blockBytes(forTotal total: UInt64, chunkBytes: UInt64) -> UInt64 {
        var size = UInt64(SwarmBlockSize.bytes(modelBytes: Int64(clamping: total), chunkBytes: Int(chunkBytes)))
        while chunkBytes % size != 0 { size /= 2 }
        return size
    }

    /// The file a block belongs to.
    public func file(of block: Int) -> Int {
        precondition(block >= 0 && block < count, "the model has no such block")
        var low = 0
        var high = fileSizes.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if fileStarts[middle] <= block { low = middle } else { high = middle }
        }
        return low
    }

    public func place(of block: Int) -> Place {
        let file = file(of: block)
        let start = UInt64(block - fileStarts[file]) * blockBytes
        return Place(
            file: file, chunk: Int(start / chunkBytes), blockOfChunk: Int(start % chunkBytes / blockBytes),
            range: start..<min(start + blockBytes, fileSizes[file]))
    }

    public func bytes(of block: Int) -> UInt64 { UInt64(place(of: block).range.count) }

    /// Blocks of one chunk.
    public func blocks(ofChunk chunk: Int, file: Int) -> Range<Int> {
        precondition(
            chunk >= 0 && UInt64(chunk) * chunkBytes < fileSizes[file],
            "a chunk beyond the file has blocks of the next one")
        let perChunk = Int(chunkBytes / blockBytes)
        let first = fileStarts[file] + chunk * perChunk
        return first..<min(first + perChunk, fileStarts[file + 1])
    }

    /// Blocks that hold bytes of `range` of a file; clamped to the file.
    public func blocks(file: Int, range: Range<UInt64>) -> Range<Int> {
        let range = range.clamped(to: 0..<fileSizes[file])
        guard !range.isEmpty else { return fileStarts[file]..<fileStarts[file] }
        let first = fileStarts[file] + Int(range.lowerBound / blockBytes)
        let last = fileStarts[file] + Int((range.upperBound - 1) / blockBytes)
        return first..<last + 1
    }

    /// Whole blocks within `range` of a file; nil when it does not begin and end at borders of blocks.
    public func exactBlocks(file: Int, range: Range<UInt64>) -> Range<Int>? {
        guard fileSizes.indices.contains(file), !range.isEmpty, range.upperBound <= fileSizes[file],
            range.lowerBound % blockBytes == 0,
            range.upperBound % blockBytes == 0 || range.upperBound == fileSizes[file]
        else { return nil }
        return blocks(file: file, range: range)
    }

    /// The order in which a model is read from the store, the same on every node: head and tail of every file first
    /// (llama.cpp reads each file's metadata there before it maps anything), then everything in file order.
    public var readingOrder: [Int32] {
        var order: [Int32] = []
        var taken = [Bool](repeating: false, count: count)
        func take(_ block: Int) {
            guard !taken[block] else { return }
            taken[block] = true
            order.append(Int32(block))
        }
        for file in fileSizes.indices where fileStarts[file] < fileStarts[file + 1] { take(fileStarts[file]) }
        for file in fileSizes.indices where fileStarts[file] < fileStarts[file + 1] { take(fileStarts[file + 1] - 1) }
        for block in 0..<count { take(block) }
        return order
    }
}
