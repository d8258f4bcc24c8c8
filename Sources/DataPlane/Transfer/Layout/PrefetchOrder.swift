/// The use of a chunk, as far as its file says.
package enum ChunkUse: UInt8, Sendable, Hashable, CaseIterable {
    /// Every token needs it: metadata, norms, attention, routers, shared experts, output.
    case everyToken
    /// Rows of the embedding: a token needs its own.
    case embedding
    /// Experts alone, of which a token uses a few. Also what nobody knows the use of.
    case expert
}

/// The order in which chunks are fetched that nobody waits for. A pure value.
///
/// Files that a program reads come first, in the order in which it began to; then the others. In both groups uses come
/// in the order of ``ChunkUse``, in a use the files in their order, in a file the chunks in theirs. A chunk may be told
/// that is there already: the caller skips it.
package struct PrefetchOrder: Sendable {
    /// The chunks of one use in one file, ascending.
    private struct Part: Sendable {
        let file: Int
        let ranges: [Range<Int>]
        var range = 0
        var chunk = 0

        init(file: Int, ranges: [Range<Int>]) {
            self.file = file
            self.ranges = ranges
            chunk = ranges.first?.lowerBound ?? 0
        }

        mutating func next() -> ChunkAddress? {
            guard range < ranges.count else { return nil }
            defer {
                chunk += 1
                if chunk == ranges[range].upperBound {
                    range += 1
                    chunk = range < ranges.count ? ranges[range].lowerBound : 0
                }
            }
            return ChunkAddress(file: file, chunk: chunk)
        }
    }

    private let chunkCounts: [Int]
    /// Of files whose layout is known, the use of each chunk.
    private var uses: [Int: [ChunkUse]] = [:]
    private var openedFiles: [Int] = []
    private var isOpened: [Bool]
    /// Of each file, in the order of the uses.
    private var parts: [[Part]]
    /// Where each part is, in the order in which they are told.
    private var sequence: [(file: Int, use: Int)] = []
    private var cursor = 0
    private var isOutdated = true

    package init(chunkCounts: [Int]) {
        self.chunkCounts = chunkCounts
        isOpened = Array(repeating: false, count: chunkCounts.count)
        parts = chunkCounts.enumerated().map { file, count in
            ChunkUse.allCases.map { use in
                Part(file: file, ranges: use == .expert && count > 0 ? [0..<count] : [])
            }
        }
    }

    /// Nil: not known.
    package func use(of address: ChunkAddress) -> ChunkUse? { uses[address.file]?[address.chunk] }

    /// A program reads the file.
    package mutating func opened(_ file: Int) {
        guard !isOpened[file] else { return }
        isOpened[file] = true
        openedFiles.append(file)
        isOutdated = true
    }

    /// The file is told from its beginning again.
    package mutating func learn(_ uses: [ChunkUse], file: Int) {
        precondition(uses.count == chunkCounts[file], "each chunk has its use")
        self.uses[file] = uses
        parts[file] = ChunkUse.allCases.map { use in Part(file: file, ranges: Self.ranges(of: use, in: uses)) }
        isOutdated = true
    }

    private static func ranges(of use: ChunkUse, in uses: [ChunkUse]) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        for (chunk, one) in uses.enumerated() where one == use {
            if let last = ranges.last, last.upperBound == chunk {
                ranges[ranges.count - 1] = last.lowerBound..<chunk + 1
            } else {
                ranges.append(chunk..<chunk + 1)
            }
        }
        return ranges
    }

    package mutating func next() -> ChunkAddress? {
        if isOutdated { arrange() }
        while cursor < sequence.count {
            let (file, use) = sequence[cursor]
            if let address = parts[file][use].next() { return address }
            cursor += 1
        }
        return nil
    }

    private mutating func arrange() {
        isOutdated = false
        cursor = 0
        let others = chunkCounts.indices.filter { !isOpened[$0] }
        sequence = [openedFiles, others].flatMap { files in
            ChunkUse.allCases.indices.flatMap { use in files.map { (file: $0, use: use) } }
        }
    }
}
