/// The tensor table of a GGUF file, as its first bytes tell it. Read within limits: the bytes are a stranger's.
///
/// Source: the GGUF specification, versions 2 and 3 (github.com/ggml-org/ggml, docs/gguf.md). Little-endian only.
package struct GGUFDirectory: Sendable, Hashable {
    package struct Tensor: Sendable, Hashable {
        package let name: String
        /// As in the file: the dimension that varies fastest comes first.
        package let dimensions: [UInt64]
        /// Bytes of the file, padding before the next tensor included.
        package let range: Range<UInt64>
    }

    /// In the order of their bytes.
    package let tensors: [Tensor]
    /// Where the first tensor may begin.
    package let dataStart: UInt64

    package enum Reading: Sendable, Hashable {
        case directory(GGUFDirectory)
        /// The file's first so many bytes are needed at least.
        case needs(bytes: UInt64)
        /// No GGUF file, or one that breaks the rules or the limits.
        case unknown
    }

    /// A table with more is not read. The largest models published have 2,000 tensors and vocabularies of 10 MB.
    static let mostTensors: UInt64 = 1 << 16
    static let mostPairs: UInt64 = 1 << 16
    static let mostBytes: UInt64 = 64 << 20
    private static let longestName: UInt64 = 256
    private static let mostDimensions: UInt32 = 4
    private static let deepestArray = 3

    /// - Parameters:
    ///   - bytes: the beginning of the file.
    ///   - fileBytes: size of the whole file.
    package static func read(_ bytes: UnsafeRawBufferPointer, fileBytes: UInt64) -> Reading {
        var reader = Reader(bytes: bytes)
        do throws(Reader.Stop) {
            return .directory(try directory(&reader, fileBytes))
        } catch {
            switch error {
            case .malformed: return .unknown
            case .short(let needed): return needed > min(mostBytes, fileBytes) ? .unknown : .needs(bytes: needed)
            }
        }
    }

    private static func directory(_ reader: inout Reader, _ fileBytes: UInt64) throws(Reader.Stop) -> GGUFDirectory {
        // "GGUF"
        guard try reader.number(UInt32.self) == 0x4655_4747 else { throw .malformed }
        let version = try reader.number(UInt32.self)
        guard version == 2 || version == 3 else { throw .malformed }
        let tensorCount = try reader.number(UInt64.self)
        let pairCount = try reader.number(UInt64.self)
        guard tensorCount <= mostTensors, pairCount <= mostPairs else { throw .malformed }
        var alignment: UInt64 = 32
        for _ in 0..<pairCount {
            let isAlignment = try reader.text(atMost: 1 << 16) == "general.alignment"
            let type = try reader.number(UInt32.self)
            // UINT32
            if isAlignment, type == 4 {
                alignment = UInt64(try reader.number(UInt32.self))
            } else {
                try skip(type, &reader, depth: 0)
            }
        }
        guard alignment > 0, alignment <= 1 << 20, alignment.nonzeroBitCount == 1 else { throw .malformed }
        var entries: [(name: String, dimensions: [UInt64], offset: UInt64)] = []
        for _ in 0..<tensorCount {
            let name = try reader.text(atMost: longestName)
            let count = try reader.number(UInt32.self)
            guard count <= mostDimensions else { throw .malformed }
            var dimensions: [UInt64] = []
            for _ in 0..<count { dimensions.append(try reader.number(UInt64.self)) }
            _ = try reader.number(UInt32.self)
            entries.append((name, dimensions, try reader.number(UInt64.self)))
        }
        let start = (UInt64(reader.position) + alignment - 1) / alignment * alignment
        return try placed(entries, start, fileBytes)
    }

    /// A tensor reaches to the next one: its type need not be known.
    private static func placed(
        _ entries: [(name: String, dimensions: [UInt64], offset: UInt64)], _ start: UInt64, _ fileBytes: UInt64
    ) throws(Reader.Stop) -> GGUFDirectory {
        guard start <= fileBytes else { throw .malformed }
        let sorted = entries.sorted { $0.offset < $1.offset }
        var tensors: [Tensor] = []
        for (index, entry) in sorted.enumerated() {
            let end = index + 1 < sorted.count ? sorted[index + 1].offset : fileBytes - start
            guard entry.offset <= end, end <= fileBytes - start else { throw .malformed }
            tensors.append(
                Tensor(name: entry.name, dimensions: entry.dimensions, range: start + entry.offset..<start + end))
        }
        return GGUFDirectory(tensors: tensors, dataStart: start)
    }

    private static func skip(_ type: UInt32, _ reader: inout Reader, depth: Int) throws(Reader.Stop) {
        if let size = size(of: type) { return try reader.skip(size) }
        if type == 8 {
            try reader.skip(try reader.number(UInt64.self))
        } else if type == 9, depth < deepestArray {
            let element = try reader.number(UInt32.self)
            let count = try reader.number(UInt64.self)
            // Each element takes at least a byte.
            guard count <= mostBytes else { throw .malformed }
            if let size = size(of: element) { return try reader.skip(size * count) }
            for _ in 0..<count { try skip(element, &reader, depth: depth + 1) }
        } else {
            throw .malformed
        }
    }

    /// Bytes of a value of fixed size: UINT8, INT8, BOOL; UINT16, INT16; UINT32, INT32, FLOAT32; UINT64, INT64,
    /// FLOAT64.
    private static func size(of type: UInt32) -> UInt64? {
        switch type {
        case 0, 1, 7: 1
        case 2, 3: 2
        case 4, 5, 6: 4
        case 10, 11, 12: 8
        default: nil
        }
    }

    /// Bytes in order.
    private struct Reader {
        enum Stop: Error {
            case malformed
            case short(needed: UInt64)
        }

        let bytes: UnsafeRawBufferPointer
        private(set) var position = 0

        init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        /// The position moves on by so many bytes, all of which are there.
        private mutating func take(_ count: UInt64) throws(Stop) -> Int {
            let (end, overflow) = UInt64(position).addingReportingOverflow(count)
            guard !overflow else { throw .malformed }
            guard end <= UInt64(bytes.count) else { throw .short(needed: end) }
            defer { position = Int(end) }
            return position
        }

        mutating func skip(_ count: UInt64) throws(Stop) { _ = try take(count) }

        mutating func number<Number: FixedWidthInteger>(_: Number.Type) throws(Stop) -> Number {
            let start = try take(UInt64(MemoryLayout<Number>.size))
            return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Number.self))
        }

        mutating func text(atMost limit: UInt64) throws(Stop) -> String {
            let length = try number(UInt64.self)
            guard length <= limit else { throw .malformed }
            let start = try take(length)
            return String(decoding: bytes[start..<start + Int(length)], as: UTF8.self)
        }
    }
}
