public import NIOCore

/// Splits a watch's body into lines, one event each, however the network split it into buffers.
///
/// It holds at most one unfinished line, of at most `limit` bytes.
public struct WatchLineDecoder: Sendable {
    /// A line is longer than the limit.
    public struct LineTooLong: Error, Sendable {
        public let limit: Int
    }

    private let limit: Int
    private var buffer = ByteBuffer()
    /// Bytes of `buffer` that are known to have no line feed, so that they are searched only once.
    private var searched = 0

    public init(limit: Int) {
        self.limit = limit
    }

    /// Whether an unfinished line waits for its rest: a body that ends now was cut off.
    public var isInsideLine: Bool { buffer.readableBytes > 0 }

    public mutating func feed(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next complete line without its line feed; nil when it needs more bytes. Skips empty lines.
    /// - Throws: ``LineTooLong``; the rest of the body is then useless.
    public mutating func nextLine() throws -> ByteBuffer? {
        while true {
            let view = buffer.readableBytesView
            guard let end = view.dropFirst(searched).firstIndex(of: 0x0A) else {
                searched = view.count
                guard searched <= limit else { throw LineTooLong(limit: limit) }
                return nil
            }
            let length = end - view.startIndex
            guard length <= limit else { throw LineTooLong(limit: limit) }
            searched = 0
            let line = buffer.readSlice(length: length)
            buffer.moveReaderIndex(forwardBy: 1)
            if length > 0 { return line }
        }
    }
}
