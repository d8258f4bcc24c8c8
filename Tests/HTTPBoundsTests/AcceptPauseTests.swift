import Accepting
import Glibc
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

/// Counts the reads that reach the socket.
private final class ReadCounter: ChannelOutboundHandler {
    typealias OutboundIn = Never
    var reads = 0

    func read(context: ChannelHandlerContext) { reads += 1 }
}

@Suite struct AcceptPauseTests {
    private let told = Told()
    private let counter = ReadCounter()
    private let channel: EmbeddedChannel
    private let lack = IOError(errnoCode: EMFILE, reason: "accept")

    private final class Told: Sendable {
        let count = Mutex(0)
    }

    init() throws {
        let told = told
        channel = EmbeddedChannel(
            handlers: [counter, AcceptPause { _ in told.count.withLock { $0 += 1 } }])
    }

    /// As it was set last: an embedded channel has no socket that would do it.
    private var isReading: Bool {
        channel.options.first { $0.option is ChannelOptions.Types.AutoReadOption }?.value as? Bool ?? true
    }

    @Test(arguments: [EMFILE, ENFILE, ENOBUFS, ENOMEM])
    func `a socket without descriptors rests for a moment and then reads again`(code: CInt) throws {
        channel.pipeline.fireErrorCaught(IOError(errnoCode: code, reason: "accept"))
        #expect(!isReading)
        channel.read()
        #expect(counter.reads == 0, "a read of another handler does not wake it")
        channel.embeddedEventLoop.advanceTime(by: AcceptPause.length - .milliseconds(1))
        #expect(!isReading)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(isReading)
        channel.read()
        #expect(counter.reads == 1)
        _ = try channel.finish()
    }

    @Test func `it is told once a minute while it lasts`() throws {
        for _ in 0..<1200 {
            channel.pipeline.fireErrorCaught(lack)
            channel.pipeline.fireErrorCaught(lack)
            channel.embeddedEventLoop.advanceTime(by: AcceptPause.length)
        }
        #expect(told.count.withLock { $0 } == 2)
        _ = try channel.finish()
    }

    @Test func `other errors are others' and do not stop it`() throws {
        channel.pipeline.fireErrorCaught(IOError(errnoCode: ECONNABORTED, reason: "accept"))
        #expect(isReading)
        #expect(throws: IOError.self) { try channel.throwIfErrorCaught() }
        _ = try channel.finish()
    }

    @Test func `a channel that closes while it rests is not woken`() throws {
        channel.pipeline.fireErrorCaught(lack)
        try channel.close().wait()
        channel.embeddedEventLoop.advanceTime(by: AcceptPause.length)
        #expect(!isReading)
    }
}
