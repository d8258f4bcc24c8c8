/// The destination of a response's body.
package enum TransferBody {
    /// Ranges: bytes go to the sink once the head is right.
    case range(ObjectRange, any RangeSink)
    /// Small responses are collected up to a limit in bytes.
    case collect(limit: Int)
}

/// A complete response, whatever its status.
package struct TransferResponse: Sendable {
    package var head: ResponseHead
    /// The collected body; empty when a sink took it.
    package var body: [UInt8]
    package var receipt: RangeReceipt
    /// For sending the request again under the same identifier.
    package var id: TransferID
}
