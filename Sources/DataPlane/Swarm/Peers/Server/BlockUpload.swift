internal import ChunkStore
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Answers one request for bytes of a file: waits for blocks that are arriving and passes them on as they come.
///
/// Without TLS the bytes go by sendfile(2) from the cache's pages, where these are memory; bytes of a disk are read by
/// ``BlockingWork``. Data files are of full length from the first moment and never cut, so a region never ends early.
///
/// `@unchecked Sendable`: every method and field is used on the channel's event loop alone, but for the queue's call,
/// which only schedules.
final class BlockUpload: @unchecked Sendable {
    enum Outcome {
        /// Head and body are written.
        case sent
        /// Nothing was written: the blocks are not here and did not come.
        case notHere
        /// The answer cannot be completed.
        case broken
    }

    private let server: PeerServer
    private let model: ModelSwarm
    private let channel: any Channel
    private let file: Int
    private let range: Range<UInt64>
    private let isUrgent: Bool
    private let peer: String?
    private var position: UInt64
    private var opened: OpenedFile?
    private var queued: UInt64?
    private var ended: (@Sendable (Outcome) -> Void)?
    private var waitedNanoseconds: Int64 = 0
    private var pause: Int64 = 1_000_000
    /// Counts ``later(_:)``, so that of the timer and the bytes only the first one goes on.
    private var turn = 0
    private var saidWanted = false
    private var isPaused = false
    private var arrivals: [Int: Arrival] = [:]
    private var sendsInARow = 0

    /// How long a request for a block that is not here stays open.
    private static let patience: Int64 = 2_000_000_000
    private static let longestPause: Int64 = 128_000_000
    /// Where bytes wake it, the clock is only for what happens by another way: the block comes from elsewhere, or is
    /// never begun again.
    private static let watchedPause: Int64 = 500_000_000
    private static let sendBytes: UInt64 = 512 << 10
    private static let relayBytes: UInt64 = 64 << 10
    private static let pacedSendBytes: UInt64 = 64 << 10
    /// A peer that has not taken all bytes of one send for so long has stopped reading: another upload gets its place
    /// in the queue.
    private static let sendPatience: TimeAmount = .seconds(20)

    init(
        server: PeerServer, model: ModelSwarm, channel: any Channel, file: Int, range: Range<UInt64>, isUrgent: Bool,
        peer: String?
    ) {
        self.server = server
        self.model = model
        self.channel = channel
        self.file = file
        self.range = range
        self.isUrgent = isUrgent
        self.peer = peer
        position = range.lowerBound
    }

    func run(_ ended: @escaping @Sendable (Outcome) -> Void) {
        self.ended = ended
        wait()
    }

    /// The connection is gone.
    func cancel() { end(.broken) }

    private func end(_ outcome: Outcome) {
        guard let ended else { return }
        self.ended = nil
        opened = nil
        if let queued { server.uploadEnded(queued) }
        queued = nil
        ended(outcome)
    }

    // MARK: Waiting

    /// Until the first byte is there. Only then a place in the queue is taken: a request that waits for bytes must not
    /// keep others from theirs.
    private func wait() {
        guard ended != nil else { return }
        let block = model.shared.layout.blocks(file: file, range: position..<position + 1).lowerBound
        switch available() {
        case nil, .some(position):
            if !saidWanted, case .absent = model.shared.blockState(block) {
                saidWanted = true
                model.wanted(block, by: peer)
            }
            guard waitedNanoseconds < Self.patience else { return end(.notHere) }
            arrivals = [:]
            later { self.wait() }
        default:
            arrivals = [:]
            // Blocks of two models are told apart well enough: a mistake costs a little order.
            queued = server.queueUpload(block: ObjectIdentifier(model).hashValue &+ block, urgent: isUrgent) {
                [channel] in
                channel.eventLoop.execute { self.begin() }
            }
        }
    }

    /// Goes on when the next bytes to send have arrived, or are not arriving any more; where nothing arrives, after a
    /// pause.
    private func later(_ body: @escaping @Sendable () -> Void) {
        turn += 1
        let mine = turn
        let began = NIODeadline.now()
        let goOn: @Sendable () -> Void = {
            guard self.turn == mine else { return }
            self.turn += 1
            self.waitedNanoseconds += (NIODeadline.now() - began).nanoseconds
            body()
        }
        let loop = channel.eventLoop
        guard let (arrival, bytes) = awaited() else {
            loop.scheduleTask(in: .nanoseconds(pause), goOn)
            pause = min(pause * 2, Self.longestPause)
            return
        }
        let timer = loop.scheduleTask(in: .nanoseconds(Self.watchedPause), goOn)
        arrival.whenArrived(bytes) {
            timer.cancel()
            loop.execute(goOn)
        }
    }

    /// Relayed bytes go on in sends of `relayBytes`, not segment by segment.
    private var sendEnd: UInt64 { min(position + Self.relayBytes, range.upperBound) }

    /// The block that the next send waits for, and how many bytes of it; nil: it is not arriving.
    private func awaited() -> (Arrival, UInt64)? {
        let layout = model.shared.layout
        for block in layout.blocks(file: file, range: position..<sendEnd) {
            switch model.shared.blockState(block) {
            case .held: continue
            case .arriving(let arrival):
                let place = layout.place(of: block).range
                let bytes = min(sendEnd, place.upperBound) - place.lowerBound
                return arrival.bytes < bytes ? (arrival, bytes) : nil
            case .absent: return nil
            }
        }
        return nil
    }

    /// How far the bytes from `position` on are here; nil: a block that was arriving failed.
    private func available() -> UInt64? {
        let layout = model.shared.layout
        var end = position
        for block in layout.blocks(file: file, range: position..<range.upperBound) {
            let place = layout.place(of: block).range
            switch model.shared.blockState(block) {
            case .held: end = min(place.upperBound, range.upperBound)
            case .arriving(let arrival):
                if let known = arrivals[block], known !== arrival { return nil }
                arrivals[block] = arrival
                return max(end, min(place.lowerBound + arrival.bytes, range.upperBound))
            case .absent: return arrivals[block] == nil ? end : nil
            }
        }
        return end
    }

    // MARK: Sending

    private func begin() {
        guard ended != nil else { return }
        let descriptor = model.shared.files[file].openForReading()
        guard descriptor >= 0 else { return end(.notHere) }
        opened = OpenedFile(descriptor, of: model.shared.work)
        // Bytes in the kernel count as sent here, so few may lie there: else the queue would begin the next upload, and
        // tell peers that this node is idle, while a complete block still waits for the wire.
        let unsent = min(512 << 10, max(16 << 10, model.shared.layout.blockBytes / 8))
        _ = channel.setOption(
            ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: TCP_NOTSENT_LOWAT)),
            value: SocketOptionValue(unsent))
        let size = model.shared.layout.fileSizes[file]
        let headers = HTTPHeaders([
            ("Content-Length", "\(range.count)"),
            ("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"),
        ])
        channel.write(
            HTTPServerResponsePart.head(HTTPResponseHead(version: .http1_1, status: .partialContent, headers: headers)),
            promise: nil)
        waitedNanoseconds = 0
        pause = 1_000_000
        pump()
    }

    private func pump() {
        guard ended != nil else { return }
        guard position < range.upperBound else { return end(.sent) }
        guard let end = available(), channel.isActive else { return self.end(.broken) }
        // The bytes that are here go on alone when the rest of their send is late.
        let isLate = end > position && waitedNanoseconds >= Self.watchedPause
        guard end >= sendEnd || isLate else {
            // The fetch that brings the block has deadlines of its own; this one only bounds a mistake.
            guard waitedNanoseconds < 10 * Self.patience else { return self.end(.broken) }
            if let queued, !isPaused {
                isPaused = true
                server.pauseUpload(queued)
            }
            return later { self.pump() }
        }
        if isPaused, let queued {
            isPaused = false
            server.resumeUpload(queued)
        }
        waitedNanoseconds = 0
        pause = 1_000_000
        let isPaced = model.shared.paces
        let length = min(end - position, isPaced ? Self.pacedSendBytes : Self.sendBytes)
        let delay = isPaced ? model.shared.reserveUpload(bytes: Int(length)) : 0
        if delay > 0 {
            channel.eventLoop.scheduleTask(in: .nanoseconds(delay)) { self.send(length) }
        } else {
            send(length)
        }
    }

    private func send(_ length: UInt64) {
        guard ended != nil, let opened else { return }
        let deadline = channel.eventLoop.scheduleTask(in: Self.sendPatience) { self.end(.broken) }
        let offset = position
        position += length
        if model.shared.isOnDisk {
            let (loop, allocator) = (channel.eventLoop, channel.allocator)
            BlockingWork.shared.submit(.uploads, for: model.shared.work) {
                let buffer = opened.read(offset, length, allocator)
                loop.execute { self.send(buffer.map { .byteBuffer($0) }, length, opened, deadline) }
            }
        } else if server.isEncrypted {
            send(opened.read(offset, length, channel.allocator).map { .byteBuffer($0) }, length, opened, deadline)
        } else {
            send(.fileRegion(opened.region(offset, length)), length, opened, deadline)
        }
    }

    /// - Parameter part: nil: it could not be read.
    private func send(_ part: IOData?, _ length: UInt64, _ opened: OpenedFile, _ deadline: Scheduled<Void>) {
        guard ended != nil, let part else {
            deadline.cancel()
            return end(.broken)
        }
        let model = self.model
        channel.writeAndFlush(HTTPServerResponsePart.body(part)).whenComplete { result in
            deadline.cancel()
            // As long as the channel has the region.
            withExtendedLifetime(opened) {}
            guard case .success = result else { return self.end(.broken) }
            model.shared.didServe(Int(length))
            // A write that completes at once calls back at once: now and then back to the loop, so that the stack stays
            // flat.
            self.sendsInARow += 1
            if self.sendsInARow % 8 == 0 {
                self.channel.eventLoop.execute { self.pump() }
            } else {
                self.pump()
            }
        }
    }
}

/// A file that bytes are sent from, closed when nobody uses it any more. To close the last descriptor of a file that
/// was evicted takes as long as giving its pages back, so a thread for what blocks does it.
private final class OpenedFile: Sendable {
    private let handle: NIOFileHandle
    private let owner: WorkOwner

    /// Takes the descriptor over.
    init(_ descriptor: Int32, of owner: WorkOwner) {
        handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
        self.owner = owner
    }

    deinit {
        BlockingWork.shared.submit(.uploads, for: owner) { [handle] in try? handle.close() }
    }

    func region(_ offset: UInt64, _ length: UInt64) -> FileRegion {
        FileRegion(fileHandle: handle, readerIndex: Int(offset), endIndex: Int(offset + length))
    }

    /// Nil: not all bytes could be read.
    func read(_ offset: UInt64, _ length: UInt64, _ allocator: ByteBufferAllocator) -> ByteBuffer? {
        var buffer = allocator.buffer(capacity: Int(length))
        let count = try? handle.withUnsafeFileDescriptor { descriptor in
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Int(length)) { bytes in
                max(0, pread(descriptor, bytes.baseAddress, Int(length), off_t(offset)))
            }
        }
        return count == Int(length) ? buffer : nil
    }
}
