internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes

/// Carries out ``ConnectionPace`` on one connection, between the HTTP decoder and the server, and keeps the port's
/// ``ConnectionRegister`` informed.
///
/// Small parts of a body that come with one read go on as one: a caller that sends chunks of a byte would else fill the
/// server's queue with thousands of parts before the server's back-pressure is felt.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private var pace: ConnectionPace
    private var deadline: Scheduled<Void>?
    private var body: ByteBuffer?

    private let register: ConnectionRegister
    private var id: ConnectionRoster.ID?
    private var isResting = true

    init(limits: ConnectionPace.Limits, register: ConnectionRegister) {
        pace = ConnectionPace(limits: limits)
        self.register = register
    }

    func handlerAdded(context: ChannelHandlerContext) {
        id = register.connected(context.channel)
        _ = carryOut(pace.connected(), context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        leave()
    }

    private func leave() {
        if let id { register.disconnected(id) }
        id = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        body = nil
        pace.disconnected()
        leave()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        switch part {
        case .head:
            guard carryOut(pace.headArrived(), context) else { return }
        case .body(var bytes):
            guard carryOut(pace.bodyArrived(), context) else { return }
            if body == nil { body = bytes } else { body?.writeBuffer(&bytes) }
            return
        case .end:
            guard carryOut(pace.requestEnded(), context) else { return }
            passBody(context)
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        passBody(context)
        context.fireChannelReadComplete()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            let closes = head.headerFields[.connection] == "close"
            guard carryOut(pace.answerBegan(closes: closes), context) else {
                promise?.fail(ChannelError.ioOnClosedChannel)
                return
            }
            if pace.closesAfterAnswer { head.headerFields[.connection] = "close" }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.cascade(to: promise)
            let bound = NIOLoopBound((guard: self, context: context), eventLoop: context.eventLoop)
            written.futureResult.whenSuccess {
                let (one, context) = bound.value
                _ = one.carryOut(one.pace.answerEnded(), context)
            }
            context.write(data, promise: written)
        }
    }

    private func passBody(_ context: ChannelHandlerContext) {
        guard let bytes = body else { return }
        body = nil
        context.fireChannelRead(wrapInboundOut(.body(bytes)))
    }

    /// - Returns: whether what arrived goes on.
    private func carryOut(_ action: ConnectionPace.Action, _ context: ChannelHandlerContext) -> Bool {
        if let id, pace.isResting != isResting {
            isResting = pace.isResting
            register.note(id, isResting: isResting)
        }
        switch action {
        case .pass: return true
        case .drop: return false
        case .close:
            deadline?.cancel()
            body = nil
            context.close(promise: nil)
            return false
        case .passAndCloseAfter(let limit):
            closeAfter(limit, context)
            return true
        case .dropAndCloseAfter(let limit):
            closeAfter(limit, context)
            return false
        }
    }

    private func closeAfter(_ limit: Duration, _ context: ChannelHandlerContext) {
        deadline?.cancel()
        let bound = NIOLoopBound((guard: self, context: context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: TimeAmount(limit)) {
            let (one, context) = bound.value
            _ = one.carryOut(one.pace.deadlinePassed(), context)
        }
    }
}
