internal import ChunkStore
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import SwarmPlan

/// Answers one request for bytes of a file: waits for blocks that are arriving and passes them on as they come, as
/// ``UploadMachine`` decides.
///
/// Without TLS the bytes go by sendfile(2) from the cache's pages, where these are memory; bytes of a disk are read by
/// ``BlockingWork``. Data files are of full length from the first moment and never cut, so a region never ends early.
///
/// `@unchecked Sendable`: every method and field is used on the channel's event loop alone, but for the queue's call,
/// which only schedules.
final class BlockUpload: @unchecked Sendable {
    private let server: PeerServer
    private let model: ModelSwarm
    private let channel: any Channel
    private let file: Int
    private let range: Range<UInt64>
    private let isUrgent: Bool
    private let peer: String?
    private var machine: UploadMachine
    private var opened: OpenedFile?
    private var queued: UInt64?
    /// The planner was told that the first block of the range is being sent.
    private var isSending = false
    private var ended: (@Sendable (UploadMachine.Outcome) -> Void)?
    /// Counts ``lookLater(_:_:)``, so that of the timer and the bytes only the first one goes on.
    private var turn = 0
    private var arrivals: [Int: Arrival] = [:]
    private var sendsInARow = 0

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
        machine = UploadMachine(range)
    }

    func run(_ ended: @escaping @Sendable (UploadMachine.Outcome) -> Void) {
        self.ended = ended
        look()
    }

    /// The connection is gone.
    func cancel() { carryOut(machine.broke()) }

    private func carryOut(_ actions: [UploadMachine.Action], _ awaited: (Arrival, UInt64)? = nil) {
        for action in actions {
            switch action {
            case .tellWanted: model.wanted(firstBlock, by: peer)
            case .lookLater(let pause): lookLater(pause, awaited)
            case .queue: enqueue()
            case .open:
                changed(.sending)
                carryOut(open() ? machine.opened() : machine.notOpened())
            case .pause:
                changed(.resting)
                if let queued { server.pauseUpload(queued) }
            case .resume:
                if let queued { server.resumeUpload(queued) }
                changed(.sending)
            case .send(let bytes): send(bytes)
            case .look: look()
            case .end(let outcome): end(outcome)
            }
        }
    }

    private func end(_ outcome: UploadMachine.Outcome) {
        let ended = self.ended
        self.ended = nil
        opened = nil
        changed(outcome == .sent ? .sent : .resting)
        if let queued { server.uploadEnded(queued) }
        queued = nil
        ended?(outcome)
    }

    /// The planner measures by this how fast the uplink is. Peers ask for one block at a time.
    private func changed(_ change: SwarmUpload) {
        guard isSending != (change == .sending) else { return }
        isSending = change == .sending
        let block = model.shared.layout.blocks(file: file, range: range.lowerBound..<range.lowerBound + 1).lowerBound
        model.upload(change, to: peer, block: block)
    }

    private func isAbsent(_ block: Int) -> Bool {
        if case .absent = model.shared.blockState(block) { true } else { false }
    }

    /// Of the bytes from the machine's position on.
    private var firstBlock: Int {
        model.shared.layout.blocks(file: file, range: machine.position..<machine.position + 1).lowerBound
    }

    private func enqueue() {
        // Blocks of two models are told apart well enough: a mistake costs a little order.
        queued = server.queueUpload(block: ObjectIdentifier(model).hashValue &+ firstBlock, urgent: isUrgent) {
            [channel] in
            channel.eventLoop.execute { self.carryOut(self.machine.hasPlace()) }
        }
    }

    // MARK: Waiting

    private func look(waited: Int64 = 0) {
        guard machine.looks else { return }
        // A request that has sent nothing may go on with a block that comes again.
        if machine.isWaiting { arrivals = [:] }
        let end = channel.isActive ? available() : nil
        let awaited = end ?? 0 < machine.sendEnd ? self.awaited() : nil
        let look = UploadMachine.Look(
            end: end, isAbsent: isAbsent(firstBlock), isArriving: awaited != nil, isPaced: model.shared.paces,
            waited: waited)
        carryOut(machine.looked(look), awaited)
    }

    private func lookLater(_ pause: Int64, _ awaited: (Arrival, UInt64)?) {
        turn += 1
        let mine = turn
        let began = NIODeadline.now()
        let goOn: @Sendable () -> Void = {
            guard self.turn == mine else { return }
            self.turn += 1
            self.look(waited: (NIODeadline.now() - began).nanoseconds)
        }
        let loop = channel.eventLoop
        let timer = loop.scheduleTask(in: .nanoseconds(pause), goOn)
        guard let (arrival, bytes) = awaited else { return }
        arrival.whenArrived(bytes) {
            timer.cancel()
            loop.execute(goOn)
        }
    }

    /// The block that the next send waits for, and how many bytes of it; nil: it is not arriving.
    private func awaited() -> (Arrival, UInt64)? {
        let layout = model.shared.layout
        for block in layout.blocks(file: file, range: machine.position..<machine.sendEnd) {
            switch model.shared.blockState(block) {
            case .held: continue
            case .arriving(let arrival):
                let place = layout.place(of: block).range
                let bytes = min(machine.sendEnd, place.upperBound) - place.lowerBound
                return arrival.bytes < bytes ? (arrival, bytes) : nil
            case .absent: return nil
            }
        }
        return nil
    }

    /// How far the bytes from the machine's position on are here; nil: a block that was arriving failed.
    private func available() -> UInt64? {
        let layout = model.shared.layout
        var end = machine.position
        for block in layout.blocks(file: file, range: machine.position..<range.upperBound) {
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

    /// Opens the file and writes the head; false: the file is gone.
    private func open() -> Bool {
        let descriptor = model.shared.files[file].openForReading()
        guard descriptor >= 0 else { return false }
        arrivals = [:]
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
        return true
    }

    private func send(_ bytes: Range<UInt64>) {
        let delay = model.shared.paces ? model.shared.reserveUpload(bytes: bytes.count) : 0
        guard delay > 0 else { return write(bytes) }
        channel.eventLoop.scheduleTask(in: .nanoseconds(delay)) { self.write(bytes) }
    }

    private func write(_ bytes: Range<UInt64>) {
        guard let opened else { return }
        let deadline = channel.eventLoop.scheduleTask(in: Self.sendPatience) { self.carryOut(self.machine.broke()) }
        let (offset, length) = (bytes.lowerBound, UInt64(bytes.count))
        if model.shared.isOnDisk {
            let (loop, allocator) = (channel.eventLoop, channel.allocator)
            BlockingWork.shared.submit(.uploads, for: model.shared.work) {
                let buffer = opened.read(offset, length, allocator)
                loop.execute { self.write(buffer.map { .byteBuffer($0) }, length, opened, deadline) }
            }
        } else if server.isEncrypted {
            write(opened.read(offset, length, channel.allocator).map { .byteBuffer($0) }, length, opened, deadline)
        } else {
            write(.fileRegion(opened.region(offset, length)), length, opened, deadline)
        }
    }

    /// - Parameter part: nil: it could not be read.
    private func write(_ part: IOData?, _ length: UInt64, _ opened: OpenedFile, _ deadline: Scheduled<Void>) {
        guard ended != nil, let part else {
            deadline.cancel()
            return carryOut(machine.broke())
        }
        let model = self.model
        channel.writeAndFlush(HTTPServerResponsePart.body(part)).whenComplete { result in
            deadline.cancel()
            // As long as the channel has the region.
            withExtendedLifetime(opened) {}
            guard case .success = result else { return self.carryOut(self.machine.broke()) }
            model.shared.didServe(Int(length))
            // A write that completes at once calls back at once: now and then back to the loop, so that the stack stays
            // flat.
            self.sendsInARow += 1
            if self.sendsInARow % 8 == 0 {
                self.channel.eventLoop.execute { self.carryOut(self.machine.sent()) }
            } else {
                self.carryOut(self.machine.sent())
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
