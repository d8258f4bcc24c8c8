/// How a file's bytes are used by what a program computes: what every token needs, and where experts are. A pure value.
package struct FileLayout: Sendable, Hashable {
    /// A tensor that holds one slice for each expert, one after the other.
    package struct Experts: Sendable, Hashable {
        package let layer: Int
        /// Bytes of the file.
        package let range: Range<UInt64>
        package let count: UInt64

        package init(layer: Int, range: Range<UInt64>, count: UInt64) {
            precondition(count > 0, "a tensor of experts has some")
            self.layer = layer
            self.range = range
            self.count = count
        }

        var sliceBytes: UInt64 { (range.upperBound - range.lowerBound) / count }

        func slice(_ expert: UInt64) -> Range<UInt64> {
            precondition(expert < count, "the slice of an expert that the tensor has not")
            let start = range.lowerBound + expert * sliceBytes
            return start..<start + sliceBytes
        }
    }

    /// In the order of their bytes.
    package let experts: [Experts]
    package let embeddings: [Range<UInt64>]

    package init(experts: [Experts], embeddings: [Range<UInt64>]) {
        self.experts = experts
        self.embeddings = embeddings
    }

    /// Names as llama.cpp gives them (llama-arch.cpp): experts are `blk.N.ffn_*_exps.weight` with the expert as last
    /// dimension; shared experts are `_shexp`. An embedding without an output beside it may be the output too.
    package init(_ directory: GGUFDirectory) {
        let hasOutput = directory.tensors.contains { $0.name == "output.weight" }
        var experts: [Experts] = []
        var embeddings: [Range<UInt64>] = []
        for tensor in directory.tensors {
            if let found = Self.experts(tensor) {
                experts.append(found)
            } else if hasOutput, tensor.name == "token_embd.weight" {
                embeddings.append(tensor.range)
            }
        }
        self.init(experts: experts, embeddings: embeddings)
    }

    private static func experts(_ tensor: GGUFDirectory.Tensor) -> Experts? {
        let parts = tensor.name.split(separator: ".")
        guard parts.count == 4, parts[0] == "blk", let layer = Int(parts[1]), parts[2].hasSuffix("_exps"),
            parts[3] == "weight", tensor.dimensions.count == 3, let count = tensor.dimensions.last, count > 1,
            count <= 1 << 16, UInt64(tensor.range.count) >= count
        else { return nil }
        return Experts(layer: layer, range: tensor.range, count: count)
    }

    /// The use of each chunk: of several the most urgent.
    package func uses(chunkCount: Int, chunkBytes: UInt64) -> [ChunkUse] {
        var uses = [ChunkUse](repeating: .everyToken, count: chunkCount)
        // Chunks that lie in such a tensor, or in several of them that follow on one another.
        mark(Self.joined(experts.map(\.range) + embeddings), .embedding, chunkBytes, &uses)
        mark(Self.joined(experts.map(\.range)), .expert, chunkBytes, &uses)
        return uses
    }

    private func mark(_ ranges: [Range<UInt64>], _ use: ChunkUse, _ chunkBytes: UInt64, _ uses: inout [ChunkUse]) {
        for range in ranges {
            let first = Int((range.lowerBound + chunkBytes - 1) / chunkBytes)
            let last = min(uses.count, Int(range.upperBound / chunkBytes))
            for chunk in first..<max(first, last) where chunk < uses.count { uses[chunk] = use }
        }
    }

    private static func joined(_ ranges: [Range<UInt64>]) -> [Range<UInt64>] {
        ranges.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: []) { found, range in
            if let last = found.last, last.upperBound == range.lowerBound {
                found[found.count - 1] = last.lowerBound..<range.upperBound
            } else {
                found.append(range)
            }
        }
    }
}

/// The experts of a whole model, whose files may be many. A pure value.
///
/// llama.cpp computes an expert's gate, up and down one after the other: whoever waits for one of them will read the
/// others.
package struct ExpertIndex: Sendable {
    package struct Slice: Sendable, Hashable {
        package let file: Int
        /// Bytes of the file.
        package let range: Range<UInt64>

        package init(file: Int, range: Range<UInt64>) {
            self.file = file
            self.range = range
        }
    }

    private struct Place: Sendable {
        let file: Int
        let experts: FileLayout.Experts
    }

    private var files: [Int: [FileLayout.Experts]] = [:]
    private var layers: [Int: [Place]] = [:]

    package init() {}

    package mutating func add(_ layout: FileLayout, file: Int) {
        guard files[file] == nil else { return }
        files[file] = layout.experts
        for experts in layout.experts { layers[experts.layer, default: []].append(Place(file: file, experts: experts)) }
    }

    /// All slices of the expert whose byte this is: its slice of the tensor first, then those of the layer's others.
    package func slices(ofFile file: Int, at offset: UInt64) -> [Slice] {
        guard let own = files[file]?.first(where: { $0.range.contains(offset) }) else { return [] }
        let expert = min((offset - own.range.lowerBound) / max(own.sliceBytes, 1), own.count - 1)
        let others = layers[own.layer, default: []].filter { $0.experts != own || $0.file != file }
        return [Slice(file: file, range: own.slice(expert))]
            + others.filter { $0.experts.count == own.count }.map {
                Slice(file: $0.file, range: $0.experts.slice(expert))
            }
    }
}
