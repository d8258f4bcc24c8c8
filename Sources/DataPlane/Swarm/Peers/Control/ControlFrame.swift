package import NIOCore
package import SwarmPlan

/// One message of a control connection: four bytes of length (big-endian, of what follows), one of type, the planner's message
/// with its own four bytes of length, then six bytes of digest for each held block that it names, in its order.
///
/// A digest is the low 48 bits of the block's CRC-64. That catches what breaks by itself; what a peer forges in full the whole
/// file's CRC-64 catches.
package enum ControlFrame: Sendable {
    case map(SwarmMap, digests: [UInt64])
    case delta(SwarmDelta, digests: [UInt64])

    package static let digestMask: UInt64 = 0xffff_ffff_ffff
    private static let digestBytes = 6
    private static let mapType = UInt8(ascii: "M")
    private static let deltaType = UInt8(ascii: "D")

    package func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        let type: UInt8
        let message: [UInt8]
        let digests: [UInt64]
        switch self {
        case .map(let map, let own): (type, message, digests) = (Self.mapType, map.encoded(), own)
        case .delta(let delta, let own): (type, message, digests) = (Self.deltaType, delta.encoded(), own)
        }
        let length = 1 + 4 + message.count + digests.count * Self.digestBytes
        var buffer = allocator.buffer(capacity: 4 + length)
        buffer.writeInteger(UInt32(length))
        buffer.writeInteger(type)
        buffer.writeInteger(UInt32(message.count))
        buffer.writeBytes(message)
        for digest in digests {
            buffer.writeInteger(UInt16(truncatingIfNeeded: digest >> 32))
            buffer.writeInteger(UInt32(truncatingIfNeeded: digest))
        }
        return buffer
    }

    package enum Malformed: Error { case frame }

    /// Longest frame of a model of so many blocks: everything at once, every list full.
    package static func longest(blockCount: Int) -> Int { 65_536 + blockCount * 24 }

    /// Takes one frame from the front; nil: there is none whole yet.
    package static func take(from buffer: inout ByteBuffer, blockCount: Int) throws(Malformed) -> ControlFrame? {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        guard length >= 5, length <= longest(blockCount: blockCount) else { throw .frame }
        guard buffer.readableBytes >= 4 + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: 4)
        guard var frame = buffer.readSlice(length: Int(length)), let type = frame.readInteger(as: UInt8.self),
            let size = frame.readInteger(as: UInt32.self), let message = frame.readBytes(length: Int(size)),
            frame.readableBytes % digestBytes == 0
        else { throw .frame }
        var digests: [UInt64] = []
        digests.reserveCapacity(frame.readableBytes / digestBytes)
        while let high = frame.readInteger(as: UInt16.self), let low = frame.readInteger(as: UInt32.self) {
            digests.append(UInt64(high) << 32 | UInt64(low))
        }
        switch type {
        case mapType:
            guard let map = SwarmMap(decoding: message, blockCount: blockCount), map.blocks.count == digests.count else { throw .frame }
            return .map(map, digests: digests)
        case deltaType:
            guard let delta = SwarmDelta(decoding: message, blockCount: blockCount), delta.held.count == digests.count
            else { throw .frame }
            return .delta(delta, digests: digests)
        default: throw .frame
        }
    }
}
