import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import TestSupport
import Testing

/// Ranged GETs over plain HTTP, which the engine speaks itself: framing over a real socket, reuse, and memory of the sink's own.
@Suite struct DirectExchangeTests {
    /// Offers memory of its own, in pieces of an odd size.
    private final class Landing: RangeSink {
        private struct State {
            var bytes: [UInt8] = []
            var offers = 0
        }
        private struct Full: Error {}
        private let state = Mutex(State())
        private let limit: Int
        init(limit: Int = .max) { self.limit = limit }

        var bytes: [UInt8] { state.withLock { $0.bytes } }
        var offers: Int { state.withLock { $0.offers } }

        func receive(_ bytes: UnsafeRawBufferPointer) throws { state.withLock { $0.bytes += bytes } }

        func withSpace(_ body: (UnsafeMutableRawBufferPointer) -> Int) throws {
            var piece = [UInt8](repeating: 0, count: 77)
            let count = piece.withUnsafeMutableBytes(body)
            let full = state.withLock { state in
                state.offers += 1
                if count > 0 { state.bytes += piece[..<count] }
                return state.bytes.count > limit
            }
            if full { throw Full() }
        }
    }

    private static let counted = (0..<1000).map { UInt8($0 % 251) }

    @Test func `head and body in one segment arrive, and so does every split of the head`() async throws {
        let head = Array(Fixture.rightHead.utf8)
        let responder = try Responder { request, line in
            if request.number == 0 {
                line.write(head + Self.counted)
                return true
            }
            // Without a delay the second piece would wait for the first one's acknowledgement.
            var noDelay: Int32 = 1
            setsockopt(line.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &noDelay, socklen_t(MemoryLayout<Int32>.size))
            let split = request.number % head.count
            line.write(Array(head[..<split]))
            usleep(1000)
            line.write(Array(head[split...]) + Self.counted)
            return true
        }
        let client = try Fixture.client(responder.endpoint)
        for round in 0...head.count {
            let sink = Landing()
            #expect(await client.fetch(into: sink).error == nil, "round \(round)")
            #expect(sink.bytes == Self.counted, "round \(round)")
        }
        #expect(responder.peers.count <= 2, "one connection for each thread")
    }

    @Test func `a body in many pieces lands in the sink's memory`() async throws {
        let responder = try Responder { _, line in
            line.write(Fixture.rightHead)
            for start in stride(from: 0, to: 1000, by: 100) {
                usleep(3000)
                line.write(Array(Self.counted[start..<start + 100]))
            }
            return true
        }
        let sink = Landing()
        let result = try await Fixture.client(responder.endpoint).fetch(into: sink)
        #expect(try result.get().bytes == 1000)
        #expect(sink.bytes == Self.counted)
        #expect(sink.offers > 9)
    }

    @Test func `a paused transfer receives nothing, does not stall, and goes on where it was`() async throws {
        let mayGoOn = Mutex(false)
        let responder = try Responder { request, line in
            line.write(Fixture.rightHead)
            line.write(Array(Self.counted[..<100]))
            while request.number == 0, !mayGoOn.withLock({ $0 }) { usleep(1000) }
            line.write(Array(Self.counted[100...]))
            return true
        }
        let client = try Fixture.client(responder.endpoint, engine: try Fixture.engine(threads: 1, stallTimeout: .seconds(6)))
        let sink = Landing()
        let result = Mutex<Result<RangeReceipt, StoreError>?>(nil)
        let transfer = client.get(Fixture.range, into: sink) { end in result.withLock { $0 = end } }
        try await eventually("the first bytes are there") { sink.bytes.count == 100 }
        client.pause(transfer)
        // Another transfer on the one thread shows that the pause was taken.
        _ = await client.fetch(into: Landing())
        mayGoOn.withLock { $0 = true }
        // Longer than the stall timeout of 6 s.
        try await Task.sleep(for: .milliseconds(7500))
        #expect(sink.bytes.count == 100 && result.withLock { $0 } == nil)
        client.resume(transfer)
        try await eventually("the transfer ends") { result.withLock { $0 } != nil }
        #expect(sink.bytes == Self.counted)
    }

    @Test func `what the sink throws for its memory ends the transfer`() async throws {
        let responder = try Responder { _, line in
            line.write(Fixture.rightHead)
            usleep(20_000)
            line.write(Self.counted)
            return true
        }
        #expect(try await Fixture.client(responder.endpoint).fetch(into: Landing(limit: 500)).error?.kind == .sink)
    }

    @Test(arguments: ["x", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
    func `bytes after the answer are dropped, and the connection with them`(rest: String) async throws {
        let responder = try Responder { _, line in
            line.write(Array(Fixture.rightHead.utf8) + Fixture.body + Array(rest.utf8))
            return true
        }
        let client = try Fixture.client(responder.endpoint, engine: try Fixture.engine(threads: 1))
        for _ in 0..<3 {
            let sink = Collector()
            #expect(await client.fetch(into: sink).error == nil)
            #expect(sink.bytes == Fixture.body)
        }
        #expect(responder.peers.count == 3)
    }

    @Test func `a kept connection that the server has closed is replaced without an error`() async throws {
        // Answers, then closes at the sight of the connection's second request: by then it was taken for alive.
        let seen = Mutex<[Int32: Int]>([:])
        let responder = try Responder { _, line in
            let second = seen.withLock { seen in
                seen[line.descriptor, default: 0] += 1
                return seen[line.descriptor] ?? 0
            } > 1
            if second {
                seen.withLock { $0[line.descriptor] = 0 }
                return false
            }
            line.write(Array(Fixture.rightHead.utf8) + Fixture.body)
            return true
        }
        let client = try Fixture.client(responder.endpoint, engine: try Fixture.engine(threads: 1))
        for _ in 0..<3 { #expect(await client.fetch().error == nil) }
        #expect(responder.requests == 5, "the second and third were sent twice")
    }

    @Test func `a new connection that is closed without an answer is not tried again`() async throws {
        let responder = try Responder { _, _ in false }
        #expect(try await Fixture.client(responder.endpoint).fetch().error?.kind == .connectionLost)
        #expect(responder.requests == 1)
    }

    @Test func `reuse shows in the receipt, with both addresses`() async throws {
        let responder = try Responder { _, line in
            line.write(Array(Fixture.rightHead.utf8) + Fixture.body)
            return true
        }
        let client = try Fixture.client(responder.endpoint, engine: try Fixture.engine(["127.0.0.3"], threads: 1))
        let first = try await client.fetch().get()
        let second = try await client.fetch().get()
        #expect((first.reusedConnection, second.reusedConnection) == (false, true))
        #expect(second.localAddress == "127.0.0.3")
        #expect(second.remoteAddress == "127.0.0.1")
    }

    @Test func `interim answers are passed over`() async throws {
        let responder = try Responder { _, line in
            line.write("HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n")
            line.write(Array(Fixture.rightHead.utf8) + Fixture.body)
            return true
        }
        let sink = Collector()
        #expect(try await Fixture.client(responder.endpoint).fetch(into: sink).error == nil)
        #expect(sink.bytes == Fixture.body)
    }

    @Test func `an error's XML is read in every framing`() async throws {
        let xml = Fixture.xml("NoSuchKey")
        let size = String(xml.utf8.count, radix: 16)
        for answer in [
            Fixture.answer("404 Not Found", xml), "HTTP/1.1 404 Not Found\r\n\r\n\(xml)",
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n\(size)\r\n\(xml)\r\n0\r\n\r\n",
        ] {
            let responder = try Responder { _, line in
                line.write(answer)
                return false
            }
            let error = try await Fixture.client(responder.endpoint).fetch().error
            #expect(error?.kind == .noSuchKey)
            #expect(error?.code == "NoSuchKey")
            #expect(responder.requests == 1)
        }
    }
}
