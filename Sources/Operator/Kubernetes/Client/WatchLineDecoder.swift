public import NIOCore

/// Cuts a watch's body into lines, one event each, however the network cut it into pieces.
///
/// Holds at most one unfinished line of at most `limit` bytes.
public struct WatchLineDecoder: Sendable {
    /// A line is longer than the limit.
    public struct LineTooLong: Error, Sendable {
        public let limit: Int
    }

    private let limit: Int
    private var buffer = ByteBuffer()
    /// Bytes of `buffer` that are known to hold no line feed: they are not searched twice.
    private var searched = 0

    public init(limit: Int) {
        self.limit = limit
    }

    /// Whether bytes of an unfinished line wait: a body that ends now was cut.
    public var isInsideLine: Bool { buffer.readableBytes > 0 }

    public mutating func feed(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next whole line without its line feed, nil when more bytes are needed. Empty lines are skipped.
    /// - Throws: ``LineTooLong``; the rest of the body is then worthless.
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
