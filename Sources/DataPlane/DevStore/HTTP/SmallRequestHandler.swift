internal import NIOCore
internal import NIOHTTP1

/// Gathers each request of a connection, and writes the whole answer: for requests of a few lines.
///
/// `@unchecked Sendable`: only the channel's event loop uses it.
final class SmallRequestHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    struct Answer {
        var status: HTTPResponseStatus
        /// Besides `Content-Length`.
        var fields: [(String, String)] = [("Content-Type", "application/json")]
        var text: String
    }

    private let maximumBytes: Int
    private let answer: @Sendable (_ head: HTTPRequestHead, _ body: ByteBuffer) -> Answer
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    /// - Parameter maximumBytes: a body of more ends the connection.
    init(maximumBytes: Int, answer: @escaping @Sendable (_ head: HTTPRequestHead, _ body: ByteBuffer) -> Answer) {
        self.maximumBytes = maximumBytes
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
        case .body(var part):
            guard body.readableBytes < maximumBytes else { return context.close(promise: nil) }
            body.writeBuffer(&part)
        case .end:
            guard let head else { return }
            let answer = answer(head, body)
            let fields = HTTPHeaders(answer.fields + [("Content-Length", "\(answer.text.utf8.count)")])
            context.write(
                wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: answer.status, headers: fields))),
                promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
