/// One chunk of one file of a model: the unit of presence and of one ranged GET.
public struct ChunkAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Index of the file in the model's manifest.
    public let file: Int
    /// Index of the chunk in the file.
    public let chunk: Int

    public init(file: Int, chunk: Int) {
        self.file = file
        self.chunk = chunk
    }

    public static func < (lhs: Self, rhs: Self) -> Bool {
        (lhs.file, lhs.chunk) < (rhs.file, rhs.chunk)
    }

    public var description: String { "file \(file) chunk \(chunk)" }
}

/// Consecutive chunks of one file that one transfer brings.
public struct ChunkRun: Hashable, Sendable {
    public let file: Int
    /// Never empty.
    public let chunks: Range<Int>

    public init(file: Int, chunks: Range<Int>) {
        precondition(!chunks.isEmpty && chunks.lowerBound >= 0, "a run has a chunk")
        self.file = file
        self.chunks = chunks
    }

    public var addresses: [ChunkAddress] { chunks.map { ChunkAddress(file: file, chunk: $0) } }
}
