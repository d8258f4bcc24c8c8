internal import Swarm

/// The blocks that a reader will wait for, as far as the layout of its file says.
extension SwarmFillMachine {
    /// Missing blocks that a reader waits for, or will: no more are predicted beyond this.
    private static let mostPredictedBytes: UInt64 = 256 << 20

    /// So many chunks of the file's beginning are needed to read its layout; nil: none.
    package func beginningNeeded(ofFile file: Int) -> Int? { layouts.needs(ofFile: file) }

    /// llama.cpp asks for the parts of an expert one after the other, and the next only when the former has come: the
    /// planner hears of all of them at once.
    mutating func awaited(_ file: Int, _ byte: UInt64) {
        guard phase == .filling else { return }
        var waiting = UInt64(demanded.count) * layout.blockBytes
        for slice in layouts.slices(ofFile: file, at: byte) where !slice.range.isEmpty {
            waiting += UInt64(slice.range.count)
            guard waiting <= Self.mostPredictedBytes else { return }
            actions.append(.want(layout.chunkBlocks(file: slice.file, bytes: slice.range)))
        }
    }

    mutating func readLayout(_ file: Int) {
        guard let chunks = layouts.needs(ofFile: file) else { return }
        layouts.reads(file)
        actions.append(.readLayout(file: file, chunks: chunks))
    }

    mutating func layoutRead(_ file: Int, _ reading: LayoutReading) {
        guard case .needs(let chunks) = layouts.read(file, reading), prefetches, phase == .filling else { return }
        actions.append(.want(layout.chunkBlocks(file: file, bytes: 0..<UInt64(chunks) * layout.chunkBytes)))
    }
}

extension BlockLayout {
    /// Chunks of each file.
    var chunkCounts: [Int] { fileSizes.map { Int(($0 + chunkBytes - 1) / chunkBytes) } }

    /// The blocks of all chunks that hold some of these bytes, which are not empty: a chunk becomes visible as a whole.
    func chunkBlocks(file: Int, bytes: Range<UInt64>) -> Range<Int> {
        let bytes = bytes.clamped(to: 0..<fileSizes[file])
        let first = blocks(ofChunk: Int(bytes.lowerBound / chunkBytes), file: file)
        let last = blocks(ofChunk: Int((bytes.upperBound - 1) / chunkBytes), file: file)
        return first.lowerBound..<last.upperBound
    }
}
