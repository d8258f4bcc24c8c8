public import HummingbirdCore
internal import Logging
internal import NIOCore

/// HTTP servers of the operator: its ports are open to the whole cluster, so connections, heads and time are bounded.
public enum BoundedHTTP {
    /// Bytes of a request's head in all, and fields in it.
    private static let headBytes = 16 << 10
    private static let headFields = 100
    /// Bytes of one read. A connection holds a few of them at most.
    private static let readBytes = 16 << 10

    /// HTTP/1.1 in plain text, as for probes and metrics.
    ///
    /// - Parameter mostConnections: the server's limit; three quarters of it may rest.
    public static func server(mostConnections: Int) -> HTTPServerBuilder {
        let register = ConnectionRegister(mostConnections: mostConnections)
        return HTTPServerBuilder { BoundedChannel(base: channel(register, $0)) }
    }

    static func channel(
        _ register: ConnectionRegister, _ respond: @escaping HTTPChannelHandler.Responder
    ) -> HTTP1Channel {
        HTTP1Channel(
            responder: respond,
            configuration: .init(
                additionalChannelHandlers: [ConnectionGuard(limits: .init(), register: register)],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: headBytes, maxHeaderListSize: headBytes, maxHeaderFieldCount: headFields)))
    }

    /// On the channel's event loop, before the first read.
    static func boundReads(of channel: any Channel) throws {
        try channel.syncOptions?.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readBytes))
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
    }
}

private struct BoundedChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    let base: HTTP1Channel

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture { try BoundedHTTP.boundReads(of: channel) }
            .flatMap { base.setup(channel: channel, logger: logger) }
    }

    func handle(value: Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
