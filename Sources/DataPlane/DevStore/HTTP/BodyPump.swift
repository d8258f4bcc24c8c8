internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Sends one response's body, one send after the other, and carries out its faults.
///
/// Without TLS and flipped bytes a send is a file region: sendfile(2), no byte enters this process.
///
/// `@unchecked Sendable`: only the channel's event loop uses its methods and fields.
final class BodyPump: @unchecked Sendable {
    /// How the body ended.
    enum Ending {
        case complete
        /// The connection was closed, reset or left hanging on purpose, or the client went away.
        case broken
    }

    enum Source {
        case file(OpenFile)
        case bytes(ByteBuffer)
    }

    private let channel: any Channel
    private let source: Source
    private var position: Int64
    private let end: Int64
    private let start: Int64
    private let fault: FaultAction?
    private let pacers: [Pacer]
    private let copies: Bool
    private let served: @Sendable (Int64) -> Void
    private let ended: @Sendable (Ending) -> Void
    private var completedInARow = 0

    private static let sendBytes: Int64 = 4 << 20

    init(
        channel: any Channel, source: Source, range: Range<Int64>, fault: FaultAction?, pacers: [Pacer],
        encrypted: Bool,
        served: @escaping @Sendable (Int64) -> Void, ended: @escaping @Sendable (Ending) -> Void
    ) {
        self.channel = channel
        self.source = source
        start = range.lowerBound
        position = range.lowerBound
        end = range.upperBound
        self.fault = fault
        self.pacers = pacers
        copies = encrypted || fault?.flipByte != nil
        self.served = served
        self.ended = ended
    }

    func run() {
        guard position < end else { return ended(.complete) }
        if breaks() { return }
        let isPaced = pacers.contains { $0.isCapped }
        var length = min(end - position, isPaced ? Bandwidth.sendBytes : copies ? 1 << 20 : Self.sendBytes)
        for stop in [fault?.resetAfter, fault?.stallAfter, fault?.truncateAfter] {
            if let stop, start + stop > position { length = min(length, start + stop - position) }
        }
        if isPaced { boundBuffer() }
        let bytes = length
        let wait = isPaced ? pacers.map { $0.reserve(bytes: bytes) }.max() ?? 0 : 0
        if wait > 0 {
            channel.eventLoop.scheduleTask(in: .nanoseconds(wait)) { self.send(bytes) }
        } else {
            send(bytes)
        }
    }

    /// Under a cap the socket takes little that the client has no window for: what lies in its buffer was paid for out
    /// of the cap without having been sent (TCP_NOTSENT_LOWAT, tcp(7)).
    private func boundBuffer() {
        guard !isBounded, let options = channel as? any SocketOptionProvider else { return }
        isBounded = true
        _ = options.unsafeSetSocketOption(
            level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_NOTSENT_LOWAT), value: CInt(Bandwidth.sendBytes))
    }
    private var isBounded = false

    private func send(_ length: Int64) {
        guard channel.isActive else { return ended(.broken) }
        let part: IOData
        switch source {
        case .bytes(let bytes):
            part = .byteBuffer(
                bytes.getSlice(at: bytes.readerIndex + Int(position), length: Int(length)) ?? ByteBuffer())
        case .file(let file) where copies:
            var buffer = channel.allocator.buffer(capacity: Int(length))
            file.read(at: position, count: Int(length), into: &buffer)
            guard buffer.readableBytes == Int(length) else { return cut() }
            if let offset = fault?.flipByte, offset >= position, offset < position + Int64(buffer.readableBytes) {
                let index = buffer.readerIndex + Int(offset - position)
                if let byte = buffer.getInteger(at: index, as: UInt8.self) { buffer.setInteger(~byte, at: index) }
            }
            part = .byteBuffer(buffer)
        case .file(let file):
            guard file.reaches(position + length) else { return cut() }
            watch(file, end: position + length)
            part = .fileRegion(
                FileRegion(fileHandle: file.handle, readerIndex: Int(position), endIndex: Int(position + length)))
        }
        position += length
        served(length)
        channel.writeAndFlush(HTTPServerResponsePart.body(part)).whenComplete { result in
            self.watch?.cancel()
            guard case .success = result else { return self.ended(.broken) }
            // A write that completes at once calls back at once. Returning to the loop now and then keeps the stack
            // flat and lets other connections run.
            self.completedInARow += 1
            if self.completedInARow % 8 == 0 {
                self.channel.eventLoop.execute { self.run() }
            } else {
                self.run()
            }
        }
    }

    /// Watches the file while its bytes are sent. When the file has become shorter, sendfile(2) sends nothing without
    /// an error, and NIO tries again for ever: see test_an_object_cut_while_it_is_sent_ends_its_connection.
    private func watch(_ file: OpenFile, end: Int64) {
        watch = channel.eventLoop.scheduleTask(in: .milliseconds(250)) {
            if file.reaches(end) { self.watch(file, end: end) } else { self.cut() }
        }
    }
    private var watch: Scheduled<Void>?

    /// The file became shorter than the response's Content-Length.
    private func cut() {
        channel.close(promise: nil)
        ended(.broken)
    }

    /// Whether a fault ends or suspends the body here.
    private func breaks() -> Bool {
        guard let fault else { return false }
        let sent = position - start
        if let after = fault.resetAfter, sent >= after {
            reset()
            return true
        }
        if let after = fault.truncateAfter, sent >= after {
            channel.close(promise: nil)
            ended(.broken)
            return true
        }
        if let after = fault.stallAfter, sent == after, !hasStalled {
            hasStalled = true
            // For ever, or until the client gives up.
            guard let seconds = fault.stallSeconds else { return true }
            channel.eventLoop.scheduleTask(in: .milliseconds(Int64(seconds * 1000))) { self.run() }
            return true
        }
        return false
    }
    private var hasStalled = false

    /// Closes with a RST: SO_LINGER of 0 (socket(7)).
    private func reset() {
        let closed: @Sendable (Result<Void, any Error>) -> Void = { _ in
            self.channel.close(promise: nil)
            self.ended(.broken)
        }
        if let options = channel as? any SocketOptionProvider {
            options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete(closed)
        } else {
            closed(.success(()))
        }
    }
}
