// HTTPBounds: what one caller of an HTTP server can use.
//
// - `ConnectionPace` is how fast one connection must go, `ConnectionRoster` who makes way when a port is full: values.
// - `ConnectionGuard` and `ConnectionRegister` carry them out, `BoundedHTTP` makes servers of them.
// Left to others: what a request may ask, and the bytes of bodies.

internal import Accepting
package import HummingbirdCore
package import Logging
package import NIOCore

/// HTTP servers of agent and operator: their ports are open to the whole cluster, so connections, heads and time are
/// bounded.
package enum BoundedHTTP {
    /// Bytes of a request's head in all, and fields in it.
    private static let headBytes = 16 << 10
    private static let headFields = 100
    /// Bytes of one read. A connection holds a few of them at most.
    private static let readBytes = 16 << 10

    /// HTTP/1.1 in plain text, as for probes and metrics.
    ///
    /// - Parameter mostConnections: the server's limit; three quarters of it may rest.
    package static func server(
        mostConnections: Int, limits: ConnectionPace.Limits = ConnectionPace.Limits()
    ) -> HTTPServerBuilder {
        let register = ConnectionRegister(mostConnections: mostConnections)
        return HTTPServerBuilder { BoundedChannel(base: channel(register, limits, $0)) }
    }

    /// To be called when a server runs: while the process has no descriptor, its clients wait and it does not spin.
    package static func restsWithoutDescriptors(_ server: any Channel, _ logger: Logger) async {
        let address = server.localAddress.map { "\($0)" } ?? ""
        // A server that is closed already needs it no more.
        try? await server.eventLoop.submit {
            try server.pipeline.syncOperations.addHandler(
                AcceptPause { error in
                    logger.error(
                        "out of file descriptors: clients wait; raise the limit of open files",
                        metadata: ["address": "\(address)", "reason": "\(error)"])
                }, position: .first)
        }.get()
    }

    package static func channel(
        _ register: ConnectionRegister, _ limits: ConnectionPace.Limits,
        _ respond: @escaping HTTPChannelHandler.Responder
    ) -> HTTP1Channel {
        HTTP1Channel(
            responder: respond,
            configuration: .init(
                additionalChannelHandlers: [ConnectionGuard(limits: limits, register: register)],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: headBytes, maxHeaderListSize: headBytes, maxHeaderFieldCount: headFields)))
    }

    /// On the channel's event loop, before the first read.
    package static func boundReads(of channel: any Channel) throws {
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
