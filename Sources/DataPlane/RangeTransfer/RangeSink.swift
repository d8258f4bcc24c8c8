/// Where the bytes of a range go.
///
/// The engine calls `receive` on one of its own threads, never on two at once for the same transfer, with consecutive
/// bytes of the range, after the answer's head was found right. Where libcurl receives (through a proxy), each call
/// brings at most 16 KiB, so a sink stages them and writes large aligned blocks. Where the engine receives itself, it
/// asks for memory with `withSpace`, and the kernel or OpenSSL writes there; what came along with the head still comes
/// through `receive`. An error that either method throws ends the transfer with `TransferError.sink`. Both methods may
/// block for as long as a write to memory or a local disk takes; other transfers of the thread wait meanwhile.
///
/// A retry of a range is a new submission: give it a sink that starts again at the range's first byte.
public protocol RangeSink: AnyObject, Sendable {
    func receive(_ bytes: UnsafeRawBufferPointer) throws

    /// Offers memory for the next bytes of the range: `body`, called once, fills a head of it and returns how many
    /// bytes; 0 or less: none came. Without an implementation the bytes go through `receive`.
    func withSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws
}

extension RangeSink {
    public func withSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws {
        try withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 64) { space in
            let count = body(space)
            if count > 0 { try receive(UnsafeRawBufferPointer(rebasing: space[..<count])) }
        }
    }
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
    /// The host's address.
    public let remoteAddress: String
    /// Whether the transfer reused an open connection.
    public let reusedConnection: Bool
}

/// A submitted transfer, for `TransferEngine.cancel(_:)`.
public struct TransferID: Sendable, Hashable {
    let value: UInt64
    let worker: Int

    /// Of a transfer that failed before it was submitted.
    package static let none = TransferID(value: 0, worker: 0)
}
