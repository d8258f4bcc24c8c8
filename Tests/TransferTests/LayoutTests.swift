import Testing
import TestSupport
import Transfer

/// Writes the beginning of a GGUF file.
struct GGUFText {
    var bytes: [UInt8] = []

    mutating func number(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
    mutating func text(_ value: String) {
        number(UInt64(value.utf8.count))
        bytes += value.utf8
    }

    /// Tensors of FLOAT16 without gaps.
    init(_ tensors: [(name: String, dimensions: [UInt64])], words: Int = 3, magic: UInt32 = 0x4655_4747, version: UInt32 = 3) {
        number(magic)
        number(version)
        number(UInt64(tensors.count))
        number(UInt64(3))
        text("general.architecture")
        number(UInt32(8))
        text("llama")
        text("general.alignment")
        number(UInt32(4))
        number(UInt32(64))
        text("tokenizer.ggml.tokens")
        number(UInt32(9))
        number(UInt32(8))
        number(UInt64(words))
        for word in 0..<words { text("word \(word)") }
        var offset: UInt64 = 0
        for tensor in tensors {
            text(tensor.name)
            number(UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { number(dimension) }
            number(UInt32(1))
            number(offset)
            offset += (tensor.dimensions.reduce(2, *) + 63) / 64 * 64
        }
        data = offset
    }

    /// Bytes of all tensors.
    private(set) var data: UInt64 = 0
    var dataStart: UInt64 { (UInt64(bytes.count) + 63) / 64 * 64 }
    var fileBytes: UInt64 { dataStart + data }

    func read(first count: Int? = nil, fileBytes: UInt64? = nil) -> GGUFDirectory.Reading {
        Array(bytes[..<min(bytes.count, count ?? bytes.count)]).withUnsafeBytes {
            GGUFDirectory.read($0, fileBytes: fileBytes ?? self.fileBytes)
        }
    }
}

@Suite struct LayoutTests {
    static let moe: [(name: String, dimensions: [UInt64])] = [
        ("token_embd.weight", [64, 100]), ("blk.0.attn_q.weight", [64, 64]), ("blk.0.ffn_gate_inp.weight", [64, 8]),
        ("blk.0.ffn_gate_exps.weight", [64, 32, 8]), ("blk.0.ffn_up_exps.weight", [64, 32, 8]),
        ("blk.0.ffn_down_exps.weight", [32, 64, 8]), ("blk.0.ffn_up_shexp.weight", [64, 32]),
        ("blk.1.attn_q.weight", [64, 64]), ("blk.1.ffn_gate_exps.weight", [64, 32, 8]), ("output.weight", [64, 100]),
    ]

    private func directory(_ text: GGUFText) throws -> GGUFDirectory {
        guard case .directory(let directory) = text.read() else { throw Missing() }
        return directory
    }
    private struct Missing: Error {}

    @Test func `the tensor table is read and each tensor reaches to the next`() throws {
        let text = GGUFText(Self.moe)
        let found = try directory(text)
        #expect(found.tensors.map(\.name) == Self.moe.map(\.name))
        #expect(found.dataStart == text.dataStart && found.dataStart % 64 == 0)
        #expect(found.tensors[0].range == text.dataStart..<text.dataStart + 12_800)
        #expect(found.tensors.last?.range.upperBound == text.fileBytes)
        #expect(zip(found.tensors, found.tensors.dropFirst()).allSatisfy { $0.range.upperBound == $1.range.lowerBound })
    }

    @Test func `a beginning that is cut anywhere says what it needs, and more each time`() {
        let text = GGUFText(Self.moe)
        var last: UInt64 = 0
        for count in 0..<text.bytes.count {
            guard case .needs(let bytes) = text.read(first: count) else {
                Issue.record("cut at \(count)")
                return
            }
            #expect(bytes > UInt64(count) && bytes >= last && bytes <= UInt64(text.bytes.count))
            last = bytes
        }
    }

    @Test func `other formats and tables beyond the limits are unknown`() {
        #expect(GGUFText(Self.moe, magic: 0x1234).read() == .unknown)
        #expect(GGUFText(Self.moe, version: 1).read() == .unknown)
        // The version of a big-endian file.
        #expect(GGUFText(Self.moe, version: 3 << 24).read() == .unknown)
        #expect(GGUFText(Self.moe).read(fileBytes: 4000) == .unknown, "tensors beyond the file's end")
        #expect(GGUFText([(name: String(repeating: "x", count: 300), dimensions: [1])]).read() == .unknown)
        #expect(GGUFText([(name: "x", dimensions: [1, 1, 1, 1, 1])]).read() == .unknown)
        var many = GGUFText([])
        many.bytes.replaceSubrange(8..<16, with: [0xff, 0xff, 0xff, 0, 0, 0, 0, 0])
        #expect(many.read() == .unknown)
        var long = GGUFText([])
        // The architecture's text is longer than any file.
        long.bytes.replaceSubrange(56..<64, with: [UInt8](repeating: 0x7f, count: 8))
        #expect(long.read() == .unknown)
    }

    /// Of random mutations none is fatal, and whatever is read lies in the file.
    @Test func `damaged tables are read without a trap`() {
        let text = GGUFText(Self.moe)
        for seed in SeededRandom.seeds(3000) {
            var random = SeededRandom(seed: seed)
            var damaged = text
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<damaged.bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: damaged.bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: damaged.bytes.removeSubrange(place..<min(damaged.bytes.count, place + Int.random(in: 1...9, using: &random)))
                default: damaged.bytes.insert(contentsOf: [0xff, 0xff, 0xff, 0xff], at: place)
                }
                if damaged.bytes.isEmpty { return }
            }
            switch damaged.read(fileBytes: text.fileBytes) {
            case .unknown: break
            case .needs(let bytes): #expect(bytes <= text.fileBytes, "seed \(seed)")
            case .directory(let directory):
                #expect(directory.tensors.allSatisfy { $0.range.upperBound <= text.fileBytes }, "seed \(seed)")
                let layout = FileLayout(directory)
                let uses = layout.uses(chunkCount: Int((text.fileBytes + 4095) / 4096), chunkBytes: 4096)
                #expect(uses.count == Int((text.fileBytes + 4095) / 4096))
                var index = ExpertIndex()
                index.add(layout, file: 0)
                for offset in stride(from: 0, to: text.fileBytes, by: 1000) { _ = index.slices(ofFile: 0, at: offset) }
            }
        }
    }

    @Test func `experts come last, embeddings before them, and a shared chunk counts as the more urgent`() throws {
        let layout = FileLayout(try directory(GGUFText(Self.moe)))
        #expect(layout.experts.map(\.layer) == [0, 0, 0, 1] && layout.experts.allSatisfy { $0.count == 8 })
        let uses = layout.uses(chunkCount: 44, chunkBytes: 4096)
        // The table and the embedding's first bytes, then its own three chunks until the attention.
        #expect(uses.prefix(3) == [.everyToken, .embedding, .embedding])
        let experts = uses.indices.filter { uses[$0] == .expert }
        #expect(experts.count > 25)
        for chunk in experts {
            let bytes = UInt64(chunk) * 4096..<UInt64(chunk + 1) * 4096
            #expect(layout.experts.contains { $0.range.contains(bytes.lowerBound) } && layout.experts.contains { $0.range.contains(bytes.upperBound - 1) })
        }
        #expect(uses.last == .everyToken)
    }

    @Test func `an embedding without an output is every token's`() throws {
        let layout = FileLayout(try directory(GGUFText(Array(Self.moe.dropLast()))))
        #expect(layout.embeddings.isEmpty)
    }

    @Test func `an expert's slices are those of one layer, the touched one first, over all files`() {
        func experts(_ layer: Int, _ start: UInt64, count: UInt64 = 8) -> FileLayout.Experts {
            FileLayout.Experts(layer: layer, range: start..<start + 800, count: count)
        }
        var index = ExpertIndex()
        index.add(FileLayout(experts: [experts(0, 1000), experts(0, 1800), experts(1, 2600)], embeddings: []), file: 0)
        index.add(FileLayout(experts: [experts(0, 50), experts(0, 5000, count: 4)], embeddings: []), file: 3)
        #expect(
            index.slices(ofFile: 0, at: 2099) == [
                .init(file: 0, range: 2000..<2100), .init(file: 0, range: 1200..<1300), .init(file: 3, range: 250..<350),
            ])
        #expect(index.slices(ofFile: 0, at: 999).isEmpty && index.slices(ofFile: 7, at: 1000).isEmpty)
    }

    @Test func `what every token needs is fetched before experts, over all files that are read`() {
        var order = PrefetchOrder(chunkCounts: [3, 4, 2])
        order.opened(1)
        order.opened(2)
        order.learn([.everyToken, .expert, .embedding, .everyToken], file: 1)
        order.learn([.expert, .everyToken], file: 2)
        var told: [ChunkAddress] = []
        while let next = order.next() { told.append(next) }
        func address(_ file: Int, _ chunk: Int) -> ChunkAddress { ChunkAddress(file: file, chunk: chunk) }
        #expect(
            told == [
                address(1, 0), address(1, 3), address(2, 1), address(1, 2), address(1, 1), address(2, 0),
                address(0, 0), address(0, 1), address(0, 2),
            ])
    }
}
