import CurlShim
import Glibc

/// One ranged GET spoken by the engine itself: TLS' handshake, the request out, the head in, the body straight into the
/// sink's memory. Of one worker's thread; never blocks.
final class DirectExchange {
    enum Outcome {
        /// Wait for the socket again.
        case waits
        /// The answer is whole. `reusable`: the connection can carry another.
        case done(reusable: Bool)
        /// The transfer has noted why it wants no more.
        case refused
        /// A connection that had been idle turned out closed before the first byte of an answer: try a new one.
        case stale
        /// In libcurl's terms, so that both ways have one wording.
        case failed(CURLcode, String)
    }

    let transfer: Transfer
    let entry: HandlePool.Entry
    let connection: DirectConnection
    let isReused: Bool
    private let request: [UInt8]
    private var sent = 0
    /// Whether TLS stands, if there is any: the request may go out.
    private(set) var isOpen: Bool
    /// Until when it must.
    private let openDeadline: ContinuousClock.Instant
    private var framing = AnswerFraming()
    private(set) var bytesIn: UInt64 = 0
    private var speed: SpeedWatch
    private let wakeInterval: Duration
    private let began: ContinuousClock.Instant
    /// Bytes below which the kernel does not wake us.
    private var lowWaterMark: Int32 = 1
    /// Of the last turn.
    private var lastTurn: ContinuousClock.Instant
    /// Bytes a second that a low-water mark may count on; falls when one was not reached in time.
    private var rateCeiling = Double.infinity

    /// The most bytes that one call receives, and that on a fast link the kernel gathers before it. Measured over
    /// loopback, 1 MiB takes two thirds of the processor time of 256 KiB: fewer wakes and window updates outweigh the
    /// bytes that leave the second-level cache.
    private static let bufferBytes = 1 << 20
    /// On a slow one.
    private static let gatheredBytes = 256 << 10
    /// Then it is another connection's turn.
    private static let turnBytes = 2 << 20

    init(
        transfer: Transfer, entry: HandlePool.Entry, connection: DirectConnection, target: Substring, isReused: Bool,
        speed: SpeedWatch, openDeadline: ContinuousClock.Instant,
        wakeInterval: Duration, now: ContinuousClock.Instant
    ) {
        self.transfer = transfer
        self.entry = entry
        self.connection = connection
        self.isReused = isReused
        self.request = connection.origin.request(target: target, headers: transfer.headers)
        self.speed = speed
        self.openDeadline = openDeadline
        isOpen = isReused || !connection.isSecure
        self.wakeInterval = wakeInterval
        began = now
        lastTurn = now
    }

    /// Whether bytes may lie in the kernel without waking us.
    var gathers: Bool { lowWaterMark > 1 }

    /// Whether the low-water mark, set for what comes in one interval, was not reached within two.
    func isOverdue(now: ContinuousClock.Instant) -> Bool {
        lowWaterMark > 1 && lastTurn.duration(to: now) > wakeInterval * 2
    }

    /// The socket events that the exchange waits for.
    var events: Int16 {
        let writes = isOpen && sent < request.count || connection.wantsOutput
        return Int16(writes ? CURL_WAIT_POLLOUT | CURL_WAIT_POLLIN : CURL_WAIT_POLLIN)
    }

    /// Whether there is something to do although the socket may be silent.
    var isReady: Bool { !rests && connection.hasMore }

    func isLateToOpen(now: ContinuousClock.Instant) -> Bool { !isOpen && now >= openDeadline }

    func isStalled(now: ContinuousClock.Instant) -> Bool { isOpen && speed.isStalled(bytes: bytesIn, now: now) }

    /// Whether nothing is to be read now. The request goes out first.
    var rests: Bool { transfer.isPaused && sent == request.count }

    /// The pause says nothing about the link.
    func resumes(now: ContinuousClock.Instant) {
        lastTurn = now
        speed.goesOn(bytes: bytesIn, now: now)
    }

    /// Goes on as far as the socket lets it.
    func proceed(_ scratch: Scratch) -> Outcome {
        if !isOpen {
            switch connection.shakeHands() {
            case nil: opened(now: .now)
            case .again: return .waits
            case .untrusted(let text): return .failed(CURLE_PEER_FAILED_VERIFICATION, text)
            case .mismatch(let text): return .failed(CURLE_SSL_CONNECT_ERROR, text)
            case .failed(let text): return .failed(CURLE_RECV_ERROR, text)
            }
        }
        sending: while sent < request.count {
            switch request.withUnsafeBytes({ connection.send(UnsafeRawBufferPointer(rebasing: $0[sent...])) }) {
            case .bytes(let count): sent += count
            case .again: break sending
            case .failed(let text):
                // The server may have answered before it closed: what it said counts more.
                let outcome = receive(scratch)
                guard case .waits = outcome else { return outcome }
                return lost(CURLE_SEND_ERROR, text)
            }
        }
        return rests ? .waits : receive(scratch)
    }

    /// Whether the server has not answered anything on a connection of its own.
    var isUnanswered: Bool { !isReused && bytesIn == 0 }

    private func opened(now: ContinuousClock.Instant) {
        isOpen = true
        resumes(now: now)
    }

    private func receive(_ scratch: Scratch) -> Outcome {
        let before = bytesIn
        let outcome = receiveBuffers(scratch)
        switch outcome {
        case .waits: setLowWaterMark(nextLowWaterMark(cameNow: bytesIn - before))
        // The next answer's head is small.
        case .done(reusable: true): setLowWaterMark(1)
        default: break
        }
        return outcome
    }

    /// The bytes that arrive in one interval at the rate so far: at most the rest of the body, the most bytes of one
    /// call, and ``gatheredBytes`` or the bytes that arrive in 10 ms. On a slow link with many connections a wake for
    /// every segment costs more than all else. Where a link grows slow, the rate of late counts: the average since the
    /// beginning would hold the next bytes back.
    private func nextLowWaterMark(cameNow count: UInt64) -> Int32 {
        let now = ContinuousClock.now
        let turn = lastTurn.duration(to: now)
        let wasLate = lowWaterMark > 1 && turn > wakeInterval * 2
        rateCeiling = wasLate ? max(1024, Double(count) / (turn / .seconds(1))) : rateCeiling * 2
        lastTurn = now
        let average = Double(bytesIn) / max(0.001, began.duration(to: now) / .seconds(1))
        let rate = min(average, rateCeiling)
        // The last bytes of the body may have been read ahead.
        let left = framing.plainBytesLeft - min(framing.plainBytesLeft, connection.readAheadBytes)
        let most = min(Double(min(left, UInt64(Self.bufferBytes))), max(Double(Self.gatheredBytes), rate * 0.01))
        return Int32(max(1, min(most, rate * (wakeInterval / .seconds(1)))))
    }

    /// SO_RCVLOWAT (socket(7)): poll(2) reports the socket once so much is there, at its end, and when its buffer is
    /// full (tcp(7)).
    private func setLowWaterMark(_ bytes: Int32) {
        precondition(bytes > 0, "0 would mean the kernel's own mark, which is 1")
        guard bytes != lowWaterMark else { return }
        lowWaterMark = bytes
        var value = bytes
        _ = setsockopt(connection.descriptor, SOL_SOCKET, SO_RCVLOWAT, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private func receiveBuffers(_ scratch: Scratch) -> Outcome {
        var left = Self.turnBytes
        while left > 0 {
            if framing.isDone { return .done(reusable: framing.allowsReuse(transfer.head) && sent == request.count) }
            let plain = transfer.takesPlainBody ? Int(min(framing.plainBytesLeft, UInt64(Self.bufferBytes))) : 0
            var wanted = scratch.head.count
            var came = DirectConnection.Outcome.again
            if plain > 0 {
                let goesOn = transfer.receive(plain) { space in
                    wanted = space.count
                    came = connection.receive(into: space, by: scratch.ahead)
                    if case .bytes(let count) = came { return count } else { return 0 }
                }
                guard goesOn else { return .refused }
                if case .bytes(let count) = came { framing.tookPlain(count) }
            } else {
                came = connection.receive(into: scratch.head, by: scratch.ahead)
                if case .bytes(let count) = came, count > 0 {
                    do throws(AnswerFraming.Fault) {
                        let bytes = UnsafeRawBufferPointer(rebasing: scratch.head[..<count])
                        let used = try framing.feed(bytes, to: transfer)
                        // More than the answer: nobody asked for it, so the connection is no use any more.
                        if used < count { return .done(reusable: false) }
                    } catch {
                        return ended(error)
                    }
                }
            }
            switch came {
            case .again: return .waits
            case .failed(let text): return lost(CURLE_RECV_ERROR, text)
            case .bytes(0):
                do throws(AnswerFraming.Fault) {
                    try framing.close()
                    return .done(reusable: false)
                } catch {
                    return ended(error)
                }
            case .bytes(let count):
                bytesIn += UInt64(count)
                left -= count
                // The socket is empty: asking again would only say so.
                if count < wanted, !framing.isDone, !connection.hasMore { return .waits }
            }
        }
        return framing.isDone ? .done(reusable: framing.allowsReuse(transfer.head) && sent == request.count) : .waits
    }

    private func lost(_ code: CURLcode, _ text: String) -> Outcome {
        isReused && bytesIn == 0 ? .stale : .failed(code, text)
    }

    private func ended(_ fault: AnswerFraming.Fault) -> Outcome {
        switch fault {
        case .refused: return .refused
        case .oversizedLine:
            transfer.refuseHead()
            return .refused
        case .notHTTP(let text): return .failed(CURLE_WEIRD_SERVER_REPLY, text)
        case .cutShort(let text): return .failed(CURLE_PARTIAL_FILE, text)
        case .nothing: return lost(CURLE_GOT_NOTHING, "Empty reply from server")
        }
    }
}

/// Memory that a worker's exchanges use in turn.
struct Scratch {
    /// For heads and small bodies.
    let head = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 64)
    /// For encrypted bytes on their way to OpenSSL; untouched without TLS. 128 KiB to 1 MiB measured alike, 64 KiB
    /// slower.
    let ahead = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 4096)

    func deallocate() {
        head.deallocate()
        ahead.deallocate()
    }
}

/// Whether a transfer brings enough, as CURLOPT_LOW_SPEED_LIMIT and CURLOPT_LOW_SPEED_TIME have it.
struct SpeedWatch {
    let bytesPerSecond: Int
    let limit: Duration
    private var lastBytes: UInt64 = 0
    private var lastLook: ContinuousClock.Instant
    private var slowFor = Duration.zero

    init(bytesPerSecond: Int, limit: Duration, now: ContinuousClock.Instant) {
        self.bytesPerSecond = bytesPerSecond
        self.limit = limit
        lastLook = now
    }

    /// The time since the last look does not count.
    mutating func goesOn(bytes: UInt64, now: ContinuousClock.Instant) {
        lastBytes = bytes
        lastLook = now
    }

    /// To be asked about once a second.
    mutating func isStalled(bytes: UInt64, now: ContinuousClock.Instant) -> Bool {
        precondition(bytes >= lastBytes, "bytes that have come stay counted")
        let passed = lastLook.duration(to: now)
        guard passed >= .milliseconds(500) else { return false }
        let rate = Double(bytes - lastBytes) / (passed / .seconds(1))
        slowFor = rate < Double(bytesPerSecond) ? slowFor + passed : .zero
        lastBytes = bytes
        lastLook = now
        return slowFor >= limit
    }
}
