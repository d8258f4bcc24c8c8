internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// One connection: reads a request, asks the service, sends the response.
///
/// `@unchecked Sendable`: only the channel's event loop uses its methods and fields. The service is safe from any
/// thread and runs on a thread pool, because it reads files.
final class RequestHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: StoreServer
    private let encrypted: Bool
    private let connectionPacer: Pacer
    private var head: HTTPRequestHead?
    private var upload: Upload?

    init(server: StoreServer, encrypted: Bool) {
        self.server = server
        self.encrypted = encrypted
        connectionPacer = Pacer(bytesPerSecond: nil)
    }

    func channelActive(context: ChannelHandlerContext) {
        server.statistics.connected()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        server.statistics.disconnected()
        upload?.discard()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            if head.method == .PUT {
                upload = Upload()
                if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                    context.writeAndFlush(
                        wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil
                    )
                }
            }
        case .body(let bytes):
            server.statistics.received(bytes: Int64(bytes.readableBytes))
            upload?.append(bytes)
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, channel: context.channel)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ head: HTTPRequestHead, channel: any Channel) {
        let remote = channel.remoteAddress?.ipAddress ?? ""
        let headers = head.headers.map { ($0.name, $0.value) }
        guard
            let request = StoreRequest(method: head.method.rawValue, target: head.uri, headers: headers, remote: remote)
        else {
            return send(StoreResponse(status: 400), nil, head, channel)
        }
        let server = self.server
        let upload = self.upload
        self.upload = nil
        NIOThreadPool.singleton.runIfActive(eventLoop: channel.eventLoop) {
            () -> (StoreService.Exchange, StoreResponse) in
            let exchange = server.service.exchange(request)
            if let upload { return (exchange, server.service.store(exchange, upload)) }
            let response = server.service.respond(exchange)
            if let file = response.wantsDigest {
                DigestQueue.shared.read(file, digests: server.service.digests)
            }
            return (exchange, response)
        }.whenComplete { result in
            switch result {
            case .success(let (exchange, response)):
                self.send(response, exchange, head, channel, after: response.fault?.delayMs)
            case .failure: channel.close(promise: nil)
            }
        }
    }

    /// After so many milliseconds, and when the plan holds it back no more.
    private func send(
        _ response: StoreResponse, _ exchange: StoreService.Exchange?, _ request: HTTPRequestHead,
        _ channel: any Channel, after milliseconds: Double?
    ) {
        let isHeld = response.fault?.held == true && channel.isActive && server.service.faults.plan.holds
        guard let wait = milliseconds ?? (isHeld ? 10 : nil) else {
            return send(response, exchange, request, channel)
        }
        channel.eventLoop.scheduleTask(in: .nanoseconds(Int64(wait * 1e6))) {
            self.send(response, exchange, request, channel, after: nil)
        }
    }

    private func send(
        _ response: StoreResponse, _ exchange: StoreService.Exchange?, _ request: HTTPRequestHead,
        _ channel: any Channel
    ) {
        var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
        let status = HTTPResponseStatus(statusCode: response.status)
        if status.mayHaveResponseBody || request.method == .HEAD {
            headers.add(name: "Content-Length", value: "\(response.contentLength)")
        }
        let keepsAlive = request.isKeepAlive && response.fault?.wrongLength == nil
        if !keepsAlive { headers.add(name: "Connection", value: "close") }
        if let exchange {
            server.statistics.answered(exchange, status: response.status)
            server.log(exchange, response)
        }
        channel.write(
            HTTPServerResponsePart.head(HTTPResponseHead(version: request.version, status: status, headers: headers)),
            promise: nil)
        let pump: (BodyPump.Source, Range<Int64>)?
        switch response.body {
        case .none: pump = nil
        case .text(let text): pump = (.bytes(channel.allocator.buffer(string: text)), 0..<Int64(text.utf8.count))
        case .bytes(let bytes): pump = (.bytes(channel.allocator.buffer(bytes: bytes)), 0..<Int64(bytes.count))
        case .file(let file, let range): pump = (.file(file), range)
        }
        if let (source, range) = pump {
            connectionPacer.set(bytesPerSecond: server.service.faults.plan.connectionBandwidth)
            var pacers = [server.pacer, connectionPacer]
            if let rate = response.fault?.bytesPerSecond { pacers.append(Pacer(bytesPerSecond: rate)) }
            let statistics = server.statistics
            BodyPump(
                channel: channel, source: source, range: range, fault: response.fault, pacers: pacers,
                encrypted: encrypted,
                // Object bytes are counted, documents are not.
                served: { if let exchange, case .file = source { statistics.served(exchange, bytes: $0) } },
                ended: { if $0 == .complete { self.finish(channel, keepsAlive) } }
            ).run()
        } else {
            finish(channel, keepsAlive)
        }
    }

    private func finish(_ channel: any Channel, _ keepsAlive: Bool) {
        let done = channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        if !keepsAlive { done.whenComplete { _ in channel.close(promise: nil) } }
    }
}
