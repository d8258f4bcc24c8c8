package import NIOCore
package import SwarmPlan

/// One message of a control connection: the length of what follows (LEB128 varint), the planner's message, which says
/// itself where it ends, then four bytes of digest (big-endian) for each held block that it names, in its order.
///
/// A digest is the low 32 bits of the block's CRC-64. Of blocks that break by themselves, past TCP's own sum, one in
/// four billion passes it; the complete file's CRC-64 catches that one, and bytes that a peer forges in full.
package enum ControlFrame: Sendable {
    case map(SwarmMap, digests: [UInt64])
    case delta(SwarmDelta, digests: [UInt64])

    /// The digest that is told of a block with this CRC-64.
    package static func digest(of crc: UInt64) -> UInt64 { crc & 0xffff_ffff }
    private static let digestBytes = 4
    private static let longestLengthBytes = 5

    package func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        let message: [UInt8]
        let digests: [UInt64]
        switch self {
        case .map(let map, let own): (message, digests) = (map.encoded(), own)
        case .delta(let delta, let own): (message, digests) = (delta.encoded(), own)
        }
        let count = message.count + digests.count * Self.digestBytes
        var length: [UInt8] = []
        Varint.append(count, to: &length)
        var buffer = allocator.buffer(capacity: length.count + count)
        buffer.writeBytes(length)
        buffer.writeBytes(message)
        for digest in digests { buffer.writeInteger(UInt32(truncatingIfNeeded: digest)) }
        return buffer
    }

    package enum Malformed: Error { case frame }

    /// Longest frame of a model of so many blocks: everything at once, every list full.
    package static func longest(blockCount: Int) -> Int { 65_536 + blockCount * 24 }

    /// Takes one frame from the front; nil: there is none whole yet.
    package static func take(from buffer: inout ByteBuffer, blockCount: Int) throws(Malformed) -> ControlFrame? {
        guard let (length, lengthBytes) = try length(of: buffer) else { return nil }
        guard length > 0, length <= longest(blockCount: blockCount) else { throw .frame }
        guard buffer.readableBytes >= lengthBytes + length else { return nil }
        buffer.moveReaderIndex(forwardBy: lengthBytes)
        guard let bytes = buffer.readBytes(length: length), let head = MessageHead(bytes[0]) else { throw .frame }
        var rest = bytes[...]
        switch head.kind {
        case .map:
            guard let map = SwarmMap(readingFrom: &rest, blockCount: blockCount) else { throw .frame }
            return .map(map, digests: try digests(in: rest, count: map.blocks.count))
        case .delta, .handover:
            guard let delta = SwarmDelta(readingFrom: &rest, blockCount: blockCount) else { throw .frame }
            return .delta(delta, digests: try digests(in: rest, count: delta.held.count))
        }
    }

    /// And how many bytes it takes; nil: it is not whole yet.
    private static func length(of buffer: ByteBuffer) throws(Malformed) -> (Int, Int)? {
        var length = 0
        for index in 0..<longestLengthBytes {
            guard let byte = buffer.getInteger(at: buffer.readerIndex + index, as: UInt8.self) else { return nil }
            length |= Int(byte & 0x7f) << (7 * index)
            if byte & 0x80 == 0 { return (length, index + 1) }
        }
        throw .frame
    }

    private static func digests(in bytes: ArraySlice<UInt8>, count: Int) throws(Malformed) -> [UInt64] {
        guard bytes.count == count * digestBytes else { throw .frame }
        return stride(from: bytes.startIndex, to: bytes.endIndex, by: digestBytes).map { start in
            bytes[start..<start + digestBytes].reduce(0) { $0 << 8 | UInt64($1) }
        }
    }
}
