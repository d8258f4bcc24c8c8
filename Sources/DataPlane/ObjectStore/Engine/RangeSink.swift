/// Where the bytes of a range go.
///
/// The engine calls `receive` on one of its own threads, never on two at once for the same transfer, with consecutive
/// bytes of the range, after the answer's head was found right. Each call brings at most 16 KiB (libcurl's limit), so a
/// sink stages them and writes large aligned pieces. What `receive` throws ends the transfer with `StoreError.sink`.
/// It may block for as long as a write to memory or a local disk takes; other transfers of the thread wait meanwhile.
///
/// A retry of a range is a new submission: give it a sink that starts again at the range's first byte.
public protocol RangeSink: AnyObject, Sendable {
    func receive(_ bytes: UnsafeRawBufferPointer) throws
}

/// How a range came in.
public struct RangeReceipt: Sendable, Hashable {
    /// Bytes delivered to the sink: exactly the range's length.
    public let bytes: UInt64
    /// From submission until the answer's head was there.
    public let timeToFirstByte: Duration
    /// From submission until the last byte was delivered.
    public let duration: Duration
    /// The address on this machine that the connection left from.
    public let localAddress: String
    /// The store's address.
    public let remoteAddress: String
    /// Whether the transfer reused an open connection.
    public let reusedConnection: Bool
    /// `x-oss-request-id` or `x-amz-request-id`.
    public let requestID: String?
}

/// A submitted transfer, for `TransferEngine.cancel(_:)`.
public struct TransferID: Sendable, Hashable {
    let value: UInt64
    let worker: Int
}
