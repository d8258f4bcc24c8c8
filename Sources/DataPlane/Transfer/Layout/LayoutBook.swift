/// The meaning of a file's beginning.
package enum LayoutReading: Sendable, Hashable {
    case layout(FileLayout)
    /// The file's first so many bytes are needed at least.
    case needs(bytes: UInt64)
    /// Nothing of use.
    case unknown
}

/// The layouts of a model's files: which are known, and which are read once enough of their files is there. A pure
/// value.
struct LayoutBook: Sendable {
    private enum State: Sendable, Hashable {
        /// Until so many chunks are there.
        case needs(chunks: Int)
        case reading(chunks: Int)
        /// Known, or never to be.
        case settled
    }

    enum Outcome: Sendable, Hashable {
        case none
        case layout(FileLayout)
        /// The file's first so many chunks are needed; then it is read again.
        case needs(chunks: Int)
    }

    private let chunkCounts: [Int]
    private let chunkBytes: UInt64
    private var states: [State]
    private var experts = ExpertIndex()

    init(chunkCounts: [Int], chunkBytes: UInt64) {
        self.chunkCounts = chunkCounts
        self.chunkBytes = chunkBytes
        states = chunkCounts.map { $0 > 1 ? .needs(chunks: 1) : .settled }
    }

    /// So many chunks of the file's beginning are needed; nil: it is being read, or settled.
    func needs(ofFile file: Int) -> Int? {
        guard case .needs(let chunks) = states[file] else { return nil }
        return chunks
    }

    /// The beginning that the file ``needs(ofFile:)`` is there and is read now.
    mutating func reads(_ file: Int) {
        guard case .needs(let chunks) = states[file] else { preconditionFailure("a layout is read when needed") }
        states[file] = .reading(chunks: chunks)
    }

    mutating func read(_ file: Int, _ reading: LayoutReading) -> Outcome {
        guard case .reading(let chunks) = states[file] else { preconditionFailure("a layout is read when asked") }
        states[file] = .settled
        switch reading {
        case .unknown: return .none
        case .layout(let layout):
            experts.add(layout, file: file)
            return .layout(layout)
        case .needs(let bytes):
            let needed = min(chunkCounts[file], Int((bytes + chunkBytes - 1) / chunkBytes))
            // A file that lost chunks meanwhile, or whose table has no end.
            guard needed > chunks else { return .none }
            states[file] = .needs(chunks: needed)
            return .needs(chunks: needed)
        }
    }

    /// The slices that a reader of this byte will read; none where no expert is.
    func slices(ofFile file: Int, at offset: UInt64) -> [ExpertIndex.Slice] {
        experts.slices(ofFile: file, at: offset)
    }
}
