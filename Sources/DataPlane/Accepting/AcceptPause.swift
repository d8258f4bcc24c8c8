// Accepting: a listening socket while the process has no descriptor left.

internal import Glibc
package import NIOCore

/// Rests a listening socket after an accept(2) that found no descriptor or no memory; its clients wait in the backlog.
///
/// SwiftNIO's `AcceptBackoffHandler` defers the next read only. The one that failed stays pending, and since the socket
/// stays readable the event loop would call accept(2) again at once, without end.
///
/// The first handler of the server's channel.
package final class AcceptPause: ChannelDuplexHandler {
    package typealias InboundIn = any Channel
    package typealias InboundOut = any Channel
    package typealias OutboundIn = Never
    package typealias OutboundOut = Never

    package static let length = TimeAmount.milliseconds(100)
    /// It is told again so long after, while it lasts.
    package static let tellingInterval = TimeAmount.seconds(60)

    private let tell: @Sendable (IOError) -> Void
    private var toldAt: NIODeadline?
    private var resumption: Scheduled<Void>?

    /// - Parameter tell: called on the event loop, at most once in ``tellingInterval``.
    package init(tell: @escaping @Sendable (IOError) -> Void) { self.tell = tell }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, Self.isLack(error.errnoCode) else { return context.fireErrorCaught(error) }
        if toldAt.map({ context.eventLoop.now - $0 >= Self.tellingInterval }) ?? true {
            toldAt = context.eventLoop.now
            tell(error)
        }
        rest(context)
    }

    package func read(context: ChannelHandlerContext) {
        // A channel that rests reads when the rest is over.
        if resumption == nil { context.read() }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        resumption?.cancel()
        context.fireChannelInactive()
    }

    package func handlerRemoved(context: ChannelHandlerContext) { resumption?.cancel() }

    /// Whether accept(2) ended with this error for want of a descriptor or of memory.
    package static func isLack(_ code: CInt) -> Bool { [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(code) }

    /// No longer reading automatically is the one thing that takes the socket out of the event loop's set.
    private func rest(_ context: ChannelHandlerContext) {
        guard resumption == nil, let options = context.channel.syncOptions else { return }
        // A closed channel has no options, and accepts nothing.
        try? options.setOption(.autoRead, value: false)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        resumption = context.eventLoop.scheduleTask(in: Self.length) {
            let (pause, context) = bound.value
            pause.resumption = nil
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }
}
