internal import Glibc
internal import LinuxShim
internal import NIOCore
internal import NIOHTTP1

/// One control connection: an HTTP exchange whose request and answer bodies both go on, frames in either direction.
///
/// `@unchecked Sendable`: the buffer is touched on the channel's event loop alone; the rest never changes.
final class ControlLink: @unchecked Sendable {
    let channel: any Channel
    let peer: PeerAddress
    let isOutgoing: Bool
    private let model: SharedModel
    private var buffer = ByteBuffer()
    /// The peer ended its body before the connection. On the event loop.
    var wasClosedInGoodOrder = false
    private let received: @Sendable (ControlLink, ControlFrame) -> Void

    init(
        channel: any Channel, peer: PeerAddress, isOutgoing: Bool, model: SharedModel,
        received: @escaping @Sendable (ControlLink, ControlFrame) -> Void
    ) {
        self.channel = channel
        self.peer = peer
        self.isOutgoing = isOutgoing
        self.model = model
        self.received = received
        // Before uploads, which fill queues: a late message is wrong when it comes. As `mc_mark_urgent`, in its order.
        for (level, name, value) in [
            (NIOBSDSocket.OptionLevel.ip, IP_TOS, MC_URGENT_TRAFFIC_CLASS),
            (.ipv6, IPV6_TCLASS, MC_URGENT_TRAFFIC_CLASS),
            (.socket, SO_PRIORITY, MC_URGENT_PRIORITY),
        ] {
            _ = channel.setOption(
                ChannelOptions.Types.SocketOption(level: level, name: .init(rawValue: name)), value: .init(value))
        }
    }

    /// A peer that does not read what it is told is of no use: its connection is closed rather than buffered for.
    func send(_ frame: ByteBuffer) {
        guard channel.isWritable else { return close() }
        model.didTell(frame.readableBytes)
        if isOutgoing {
            channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(frame)), promise: nil)
        } else {
            channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(frame)), promise: nil)
        }
    }

    func close() { channel.close(promise: nil) }

    /// Ends the body before the connection, which tells the peer that this node lives on.
    func closeInGoodOrder() {
        let ended =
            isOutgoing
            ? channel.writeAndFlush(HTTPClientRequestPart.end(nil))
            : channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        ended.whenComplete { [channel] _ in channel.close(promise: nil) }
    }

    /// On the event loop.
    func take(_ bytes: ByteBuffer) {
        var bytes = bytes
        buffer.writeBuffer(&bytes)
        do {
            while let frame = try ControlFrame.take(from: &buffer, blockCount: model.layout.count) {
                received(self, frame)
            }
        } catch {
            close()
        }
        buffer.discardReadBytes()
    }
}
