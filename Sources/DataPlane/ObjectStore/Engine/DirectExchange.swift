import CurlShim
import Glibc

/// One ranged GET spoken by the engine itself: the request out, the head in, the body straight into the sink's memory.
/// Of one worker's thread; never blocks.
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
    private var framing = AnswerFraming()
    private(set) var bytesIn: UInt64 = 0
    private var speed: SpeedWatch
    private let wakeInterval: Duration
    private let began: ContinuousClock.Instant
    /// Bytes below which the kernel does not wake us.
    private var lowWaterMark: Int32 = 1

    /// What one call receives at most, and on a fast link gathers in the kernel before. Measured over loopback, 1 MiB takes two
    /// thirds of the processor time of 256 KiB: fewer wakes and window updates outweigh what leaves the second-level cache.
    private static let pieceBytes = 1 << 20
    /// On a slow one.
    private static let gatheredBytes = 256 << 10
    /// Then it is another connection's turn.
    private static let turnBytes = 2 << 20

    init(
        transfer: Transfer, entry: HandlePool.Entry, connection: DirectConnection, target: Substring, isReused: Bool, speed: SpeedWatch,
        wakeInterval: Duration, now: ContinuousClock.Instant
    ) {
        self.transfer = transfer
        self.entry = entry
        self.connection = connection
        self.isReused = isReused
        self.request = connection.origin.request(target: target, headers: transfer.headers)
        self.speed = speed
        self.wakeInterval = wakeInterval
        began = now
    }

    /// What to wait for.
    var events: Int16 { Int16(sent < request.count ? CURL_WAIT_POLLOUT | CURL_WAIT_POLLIN : CURL_WAIT_POLLIN) }

    func isStalled(now: ContinuousClock.Instant) -> Bool { speed.isStalled(bytes: bytesIn, now: now) }

    /// Goes on as far as the socket lets it. `scratch` is for heads and small bodies.
    func proceed(_ scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        while sent < request.count {
            let count = request.withUnsafeBytes {
                send(connection.descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                // The server may have answered before it closed: what it said counts more.
                let problem = errno
                let outcome = receive(scratch)
                guard case .waits = outcome else { return outcome }
                return lost(CURLE_SEND_ERROR, "Send failure: \(String(cString: strerror(problem)))")
            }
        }
        return receive(scratch)
    }

    private func receive(_ scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        let outcome = receivePieces(scratch)
        switch outcome {
        case .waits: setLowWaterMark(bytes(of: wakeInterval))
        // The next answer's head is small.
        case .done(reusable: true): setLowWaterMark(1)
        default: break
        }
        return outcome
    }

    /// What comes in such a time at the rate so far, at most the rest of the body, a piece, and ``gatheredBytes`` or what comes in
    /// 10 ms: where a link grows slow, nobody is to take its silence for a stall. On a slow link with many connections a wake for
    /// every segment costs more than all else.
    private func bytes(of interval: Duration) -> Int32 {
        let rate = Double(bytesIn) / max(0.001, began.duration(to: .now) / .seconds(1))
        let most = min(Double(min(framing.plainBytesLeft, UInt64(Self.pieceBytes))), max(Double(Self.gatheredBytes), rate * 0.01))
        return Int32(max(1, min(most, rate * (interval / .seconds(1)))))
    }

    /// SO_RCVLOWAT (socket(7)): poll(2) reports the socket once so much is there, at its end, and when its buffer is full (tcp(7)).
    private func setLowWaterMark(_ bytes: Int32) {
        guard bytes != lowWaterMark else { return }
        lowWaterMark = bytes
        var value = bytes
        _ = setsockopt(connection.descriptor, SOL_SOCKET, SO_RCVLOWAT, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private func receivePieces(_ scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        var left = Self.turnBytes
        while left > 0 {
            if framing.isDone { return .done(reusable: framing.allowsReuse(transfer.head) && sent == request.count) }
            let plain = transfer.takesPlainBody ? Int(min(framing.plainBytesLeft, UInt64(Self.pieceBytes))) : 0
            let wanted: Int
            var count = 0
            var problem: Int32 = 0
            if plain > 0 {
                var asked = plain
                let goesOn = transfer.receive(plain) { space in
                    asked = space.count
                    count = recv(connection.descriptor, space.baseAddress, space.count, 0)
                    problem = errno
                    return count
                }
                guard goesOn else { return .refused }
                wanted = asked
                if count > 0 { framing.tookPlain(count) }
            } else {
                count = recv(connection.descriptor, scratch.baseAddress, scratch.count, 0)
                problem = errno
                wanted = scratch.count
                if count > 0 {
                    do throws(AnswerFraming.Fault) {
                        let used = try framing.feed(UnsafeRawBufferPointer(rebasing: scratch[..<count]), to: transfer)
                        // More than the answer: nobody asked for it, so the connection is no use any more.
                        if used < count { return .done(reusable: false) }
                    } catch {
                        return ended(error)
                    }
                }
            }
            if count > 0 {
                bytesIn += UInt64(count)
                left -= count
                // The socket is empty: asking again would only say so.
                if count < wanted, !framing.isDone { return .waits }
            } else if count == 0 {
                do throws(AnswerFraming.Fault) {
                    try framing.close()
                    return .done(reusable: false)
                } catch {
                    return ended(error)
                }
            } else if problem == EAGAIN {
                return .waits
            } else if problem != EINTR {
                return lost(CURLE_RECV_ERROR, "Recv failure: \(String(cString: strerror(problem)))")
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

    /// To be asked about once a second.
    mutating func isStalled(bytes: UInt64, now: ContinuousClock.Instant) -> Bool {
        let passed = lastLook.duration(to: now)
        guard passed >= .milliseconds(500) else { return false }
        let rate = Double(bytes - lastBytes) / (passed / .seconds(1))
        slowFor = rate < Double(bytesPerSecond) ? slowFor + passed : .zero
        lastBytes = bytes
        lastLook = now
        return slowFor >= limit
    }
}
