internal import NIOCore
internal import NIOHTTP1

/// ``IdentityService`` on a connection.
///
/// `@unchecked Sendable`: only the channel's event loop uses it.
final class IdentityHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let service: StoreService
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    init(service: StoreService) { self.service = service }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
        case .body(var part):
            // A token and a few names; a larger body ends the connection.
            guard body.readableBytes < 1 << 20 else { return context.close(promise: nil) }
            body.writeBuffer(&part)
        case .end:
            guard let head else { return }
            let headers = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }) { first, _ in first }
            let response = service.identity.respond(
                .init(
                    method: head.method.rawValue, target: head.uri, headers: headers, body: String(buffer: body)),
                now: service.now)
            let fields = HTTPHeaders([
                ("Content-Type", response.type), ("Content-Length", "\(response.text.utf8.count)"),
                ("Date", HTTPDate.rfc1123(service.now)),
            ])
            let status = HTTPResponseStatus(statusCode: response.status)
            context.write(
                wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: status, headers: fields))),
                promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: response.text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
