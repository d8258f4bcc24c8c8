internal import DequeModule
internal import Foundation
internal import NIOCore
internal import NIOHTTP1

/// One connection of a peer: one request after the other.
///
/// `@unchecked Sendable`: every method and field is used on the channel's event loop alone.
final class PeerRequestHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: PeerServer
    private var head: HTTPRequestHead?
    private var control: (link: ControlLink, model: ModelSwarm)?
    private var upload: BlockUpload?
    /// Requests that came before the one before was answered.
    private var pending = Deque<HTTPRequestHead>()
    private var isAnswering = false
    /// Closes a connection that asks nothing, or does not end its request.
    private var deadline: Scheduled<Void>?

    /// Longer than the peers' engines keep an idle connection (118 s), so that none is closed under a request.
    private static let idlePatience: TimeAmount = .seconds(150)
    private static let requestPatience: TimeAmount = .seconds(10)

    init(server: PeerServer) { self.server = server }

    func channelActive(context: ChannelHandlerContext) {
        closes(after: Self.requestPatience, context)
        context.fireChannelActive()
    }

    private func closes(after patience: TimeAmount, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = context.eventLoop.scheduleTask(in: patience) { [channel = context.channel] in
            channel.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            closes(after: Self.requestPatience, context)
            // A control connection's body never ends: it begins with the head.
            if head.method == .POST { beginControl(head, context) }
        case .body(let bytes): control?.link.take(bytes)
        case .end:
            if let control {
                control.link.wasClosedInGoodOrder = true
                return context.close(promise: nil)
            }
            guard let head, head.method != .POST else { return }
            self.head = nil
            deadline?.cancel()
            if isAnswering {
                guard pending.count < 16 else { return context.close(promise: nil) }
                pending.append(head)
            } else {
                answer(head, context)
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        upload?.cancel()
        if let control { control.model.linkEnded(control.link) }
        control = nil
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A request that waits for bytes to arrive here is silent for as long as they take.
        if event is IdleStateHandler.IdleStateEvent, !isAnswering { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Requests

    private func route(_ head: HTTPRequestHead) -> (model: ModelSwarm, resource: PeerTarget.Resource)? {
        guard let target = PeerTarget(head.uri),
            let model = server.admit(target.modelID, head.headers.first(name: "Authorization"))
        else { return nil }
        return (model, target.resource)
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        isAnswering = true
        guard let (model, resource) = route(head) else { return send(.notFound, head, context) }
        model.heard(from: peer(head, context), PeerIntroduction(head.headers))
        switch (head.method, resource) {
        case (.HEAD, .map): send(.ok, head, context, headers: [("Content-Length", "0")])
        case (.GET, .map): send(.ok, head, context, body: model.snapshot())
        case (.GET, .file(let index)):
            let layout = model.shared.layout
            guard let file = index, layout.fileSizes.indices.contains(file),
                let range = PeerTarget.range(head.headers.first(name: "Range"), size: layout.fileSizes[file])
            else { return send(.rangeNotSatisfiable, head, context) }
            let upload = BlockUpload(
                server: server, model: model, channel: context.channel, file: file, range: range,
                isUrgent: head.headers.first(name: "Priority")?.hasPrefix("u=0") ?? false,
                peer: context.channel.remoteAddress?.ipAddress)
            self.upload = upload
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            upload.run { outcome in
                self.upload = nil
                switch outcome {
                case .sent: self.finished(head, bound.value)
                case .notHere: self.send(.rangeNotSatisfiable, head, bound.value)
                case .broken: bound.value.close(promise: nil)
                }
            }
        default: send(.notFound, head, context)
        }
    }

    private func beginControl(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard !isAnswering, case (let model, .control)? = route(head), let peer = peer(head, context)
        else {
            send(.notFound, head, context)
            return context.close(promise: nil)
        }
        guard let link = model.accept(context.channel, from: peer, PeerIntroduction(head.headers)) else {
            send(.conflict, head, context)
            return context.close(promise: nil)
        }
        let headers = HTTPHeaders([("Transfer-Encoding", "chunked")] + server.introduction.headers)
        context.writeAndFlush(
            wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .ok, headers: headers))), promise: nil
        )
        deadline?.cancel()
        control = (link, model)
        model.linkOpened(link)
    }

    /// Where the asking node listens, as it says, or as far as can be seen.
    private func peer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) -> PeerAddress? {
        guard let text = head.headers.first(name: PeerHeader.address) else { return nil }
        if text.hasPrefix(":"), let host = context.channel.remoteAddress?.ipAddress {
            return PeerAddress("[\(host)]\(text)")
        }
        return PeerAddress(text)
    }

    // MARK: Answers

    private func send(
        _ status: HTTPResponseStatus, _ request: HTTPRequestHead, _ context: ChannelHandlerContext,
        headers extra: [(String, String)] = [], body: [UInt8]? = nil
    ) {
        var headers = HTTPHeaders(extra)
        if status == .ok { headers.add(contentsOf: HTTPHeaders(server.introduction.headers)) }
        if extra.isEmpty { headers.add(name: "Content-Length", value: "\(body?.count ?? 0)") }
        if body != nil { headers.add(name: "Content-Type", value: "application/json") }
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: request.version, status: status, headers: headers))),
            promise: nil)
        if let body { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil) }
        finished(request, context)
    }

    private func finished(_ request: HTTPRequestHead, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        isAnswering = false
        guard request.isKeepAlive else { return context.close(promise: nil) }
        if let next = pending.popFirst() { answer(next, context) } else { closes(after: Self.idlePatience, context) }
    }
}
