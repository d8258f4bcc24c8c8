internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// Opens connections to peers: a question with a short answer, or a control connection.
struct PeerDialer: Sendable {
    let group: MultiThreadedEventLoopGroup
    let tls: NIOSSLContext?

    /// Connecting and the answer's head together: a dead peer must not hold anything up.
    static let deadline: TimeAmount = .milliseconds(900)

    /// The fields of a request.
    struct Request: Sendable {
        let address: PeerAddress
        let method: HTTPMethod
        let target: String
        let authorization: String
        /// Where this node itself listens, for the peer to come back to.
        let own: PeerAddress
        let introduction: PeerIntroduction

        var head: HTTPRequestHead {
            let headers = HTTPHeaders(
                [
                    ("Host", address.description), ("Authorization", authorization),
                    (PeerHeader.address, own.description),
                ] + introduction.headers)
            return HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers)
        }
    }

    /// The answer's status, and who answered; nil: there was none.
    func ask(_ request: Request) async -> (status: Int, peer: PeerIntroduction?)? {
        let answer = group.next().makePromise(of: (Int, PeerIntroduction?)?.self)
        let connected = bootstrap { channel in
            try channel.pipeline.syncOperations.addHandler(AnswerHandler(answer: answer))
        }.connect(host: request.address.host, port: request.address.port)
        connected.whenFailure { _ in answer.succeed(nil) }
        connected.whenSuccess { channel in
            channel.eventLoop.scheduleTask(in: Self.deadline) { channel.close(promise: nil) }
            var head = request.head
            head.headers.add(name: "Connection", value: "close")
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        }
        return try? await answer.futureResult.get()
    }

    /// Opens a control connection. `opened` gives the link once the peer accepted; `ended` comes once, whether or not
    /// it stood, with the status by which the peer refused.
    func control(
        _ request: Request, opened: @escaping @Sendable (any Channel, PeerIntroduction?) -> ControlLink?,
        ended: @escaping @Sendable (ControlLink?, _ refusal: HTTPResponseStatus?) -> Void
    ) {
        let connected = bootstrap { channel in
            try channel.pipeline.syncOperations.addHandler(ControlHandler(opened: opened, ended: ended))
        }.channelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 4 << 20))
            .connect(host: request.address.host, port: request.address.port)
        connected.whenFailure { _ in ended(nil, nil) }
        connected.whenSuccess { channel in
            var head = request.head
            head.headers.add(name: "Transfer-Encoding", value: "chunked")
            channel.writeAndFlush(HTTPClientRequestPart.head(head), promise: nil)
        }
    }

    private func bootstrap(_ add: @escaping @Sendable (any Channel) throws -> Void) -> ClientBootstrap {
        ClientBootstrap(group: group)
            .connectTimeout(Self.deadline)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: nil))
                    }
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try add(channel)
                }
            }
    }
}

/// Names of headers that are ours.
enum PeerHeader {
    /// Where the asking node listens; without a host, at the address it is seen to come from.
    static let address = "X-ModelCache-Address"
}

/// Of one event loop alone.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    private let answer: EventLoopPromise<(Int, PeerIntroduction?)?>

    init(answer: EventLoopPromise<(Int, PeerIntroduction?)?>) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data) {
            answer.succeed((Int(head.status.code), PeerIntroduction(head.headers)))
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { answer.succeed(nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Of one event loop alone.
private final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    private let opened: @Sendable (any Channel, PeerIntroduction?) -> ControlLink?
    private let ended: @Sendable (ControlLink?, HTTPResponseStatus?) -> Void
    private var refusal: HTTPResponseStatus?
    private var link: ControlLink?
    private var hasEnded = false
    private var deadline: Scheduled<Void>?

    init(
        opened: @escaping @Sendable (any Channel, PeerIntroduction?) -> ControlLink?,
        ended: @escaping @Sendable (ControlLink?, HTTPResponseStatus?) -> Void
    ) {
        self.opened = opened
        self.ended = ended
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: PeerDialer.deadline) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            deadline?.cancel()
            guard head.status == .ok, let link = opened(context.channel, PeerIntroduction(head.headers)) else {
                // It lives, but has not the model open or connections enough.
                refusal = head.status == .ok ? nil : head.status
                return context.close(promise: nil)
            }
            self.link = link
        case .body(let bytes): link?.take(bytes)
        case .end:
            link?.wasClosedInGoodOrder = true
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { end() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func end() {
        guard !hasEnded else { return }
        hasEnded = true
        deadline?.cancel()
        ended(link, refusal)
    }
}
