import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import TestSupport
import Testing

/// Ranged GETs over TLS, which the engine speaks itself: records of any size and in any pieces, ends, new keys, resumed
/// sessions. Needs the `openssl` command.
@Suite(.enabled(if: Certificates.areThere)) struct SecureExchangeTests {
    private static let counted = (0..<1000).map { UInt8($0 % 251) }
    private static let answer = Array(Fixture.rightHead.utf8) + counted
    private static let lastAnswer =
        Array(Fixture.rightHead.replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n").utf8) + counted
    private let certificates: Certificates

    init() throws { certificates = try Certificates() }

    /// One thread, so that one connection is enough. A hang ends as a stall.
    private func client(_ responder: SecureResponder, authorityFile: String? = nil) throws -> StoreClient {
        let engine = try Fixture.engine(
            threads: 1, authorityFile: authorityFile ?? certificates.authority, stallTimeout: .seconds(20))
        return try Fixture.client(responder.endpoint, engine: engine)
    }

    @Test(arguments: [Int32(2), 3])
    func `an answer in records of any size arrives`(minor: Int32) async throws {
        let sizes = [1, 2, 3, 5, 16, 255, 256, 999, 16384]
        let responder = try SecureResponder(certificates, minor: minor) { number, line in
            var rest = Self.answer[...]
            while !rest.isEmpty {
                let piece = rest.prefix(sizes[number])
                line.write(Array(piece))
                rest = rest.dropFirst(piece.count)
            }
            return true
        }
        let client = try client(responder)
        for round in sizes.indices {
            let sink = Collector()
            let receipt = try await client.fetch(into: sink).get()
            #expect(sink.bytes == Self.counted, "records of \(sizes[round])")
            #expect(receipt.reusedConnection == (round > 0))
        }
    }

    @Test func `a record that comes in two pieces is waited for, wherever it is cut`() async throws {
        let cuts = [1, 4, 5, 6, 21, 100, 500, 1000, 1100, 1120]
        let responder = try SecureResponder(certificates) { number, line in
            let record = line.record(Self.answer)
            line.send(Array(record[..<cuts[number]]))
            usleep(20_000)
            line.send(Array(record[cuts[number]...]))
            return true
        }
        let client = try client(responder)
        for cut in cuts {
            let sink = Collector()
            #expect(await client.fetch(into: sink).error == nil, "after \(cut) bytes")
            #expect(sink.bytes == Self.counted, "after \(cut) bytes")
        }
    }

    /// More than one turn of the thread: what OpenSSL has read ahead is taken although the socket is silent by then.
    @Test func `a long range arrives whole when the server falls silent after its last byte`() async throws {
        let size = 9_000_001
        let body = [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
            for index in 0..<size { bytes[index] = UInt8(truncatingIfNeeded: index &* 31 ^ (index >> 11)) }
            count = size
        }
        let responder = try SecureResponder(certificates) { number, line in
            let head =
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-\(size - 1)/\(size)\r\nETag: \"tag\"\r\nContent-Length: \(size)\r\n\r\n"
            var wire = line.record(Array(head.utf8))
            var rest = body[...]
            while !rest.isEmpty {
                let piece = rest.prefix([16384, 1000, 37 * 37][number])
                wire += line.record(Array(piece))
                rest = rest.dropFirst(piece.count)
            }
            line.send(wire)
            return true
        }
        let client = try client(responder)
        for round in 0..<3 {
            let sink = Collector()
            let range = ObjectRange(key: "models/a", etag: "tag", objectSize: UInt64(size), offset: 0, length: UInt64(size))
            #expect(await client.fetch(range, into: sink).error == nil, "round \(round)")
            #expect(sink.bytes == body, "round \(round)")
        }
    }

    @Test func `a server that asks for new keys gets them, within an answer and between two`() async throws {
        let responder = try SecureResponder(certificates) { _, line in
            line.send(line.updateKeys())
            line.write(Array(Self.answer[..<400]))
            line.send(line.updateKeys())
            line.write(Array(Self.answer[400...]))
            line.send(line.updateKeys())
            return true
        }
        let client = try client(responder)
        for round in 0..<3 {
            let sink = Collector()
            let receipt = try await client.fetch(into: sink).get()
            #expect(sink.bytes == Self.counted)
            #expect(receipt.reusedConnection == (round > 0))
        }
        #expect(responder.requests == 3)
    }

    @Test(arguments: [true, false])
    func `an answer that ends too early is a failure, with a goodbye or without`(saysGoodbye: Bool) async throws {
        let responder = try SecureResponder(certificates) { _, line in
            line.write(Array(Self.answer[..<600]))
            if saysGoodbye { line.send(line.goodbye()) }
            return false
        }
        let sink = Collector()
        let error = try await client(responder).fetch(into: sink).error
        #expect(error != nil)
        #expect(sink.bytes.count < 1000)
    }

    /// Anybody on the way can cut a connection: without TLS' own goodbye its end does not end a body (RFC 9112, 9.8).
    @Test(arguments: [true, false])
    func `a body that ends with the connection needs the server's goodbye`(saysGoodbye: Bool) async throws {
        let responder = try SecureResponder(certificates) { _, line in
            line.write(Array("HTTP/1.1 404 Not Found\r\n\r\n\(Fixture.xml("NoSuchKey"))".utf8))
            if saysGoodbye { line.send(line.goodbye()) }
            return false
        }
        let error = try await client(responder).fetch().error
        #expect(error?.kind == (saysGoodbye ? .noSuchKey : .connectionLost))
    }

    @Test func `a record that somebody changed on the way is refused`() async throws {
        let responder = try SecureResponder(certificates) { _, line in
            line.write(Array(Self.answer[..<400]))
            var record = line.record(Array(Self.answer[400...]))
            record[200] ^= 1
            line.send(record)
            return true
        }
        let sink = Collector()
        let error = try await client(responder).fetch(into: sink).error
        #expect(error?.kind == .connectionLost)
        #expect(sink.bytes.count <= 400)
    }

    @Test func `an idle connection that the server ended is replaced without an error`() async throws {
        let responder = try SecureResponder(certificates) { number, line in
            line.write(Self.answer)
            if number > 0 { return true }
            line.send(line.goodbye())
            return false
        }
        let client = try client(responder)
        for _ in 0..<2 {
            let sink = Collector()
            #expect(await client.fetch(into: sink).error == nil)
            #expect(sink.bytes == Self.counted)
        }
    }

    @Test(arguments: [Int32(2), 3])
    func `a new connection resumes the session of the one before`(minor: Int32) async throws {
        let resumed = Mutex<[Bool]>([])
        let responder = try SecureResponder(certificates, minor: minor) { _, line in
            resumed.withLock { $0.append(line.isResumed) }
            line.write(Self.lastAnswer)
            line.send(line.goodbye())
            return false
        }
        let client = try client(responder)
        for _ in 0..<3 { #expect(await client.fetch().error == nil) }
        #expect(resumed.withLock { $0 } == [false, true, true])
    }

    @Test func `authorities that were replaced count for the next connection, whatever session there is`() async throws {
        let responder = try SecureResponder(certificates) { _, line in
            line.write(Self.lastAnswer)
            line.send(line.goodbye())
            return false
        }
        let file = certificates.folder.file("trusted.pem")
        func trust(_ authority: String) throws {
            try Data(contentsOf: URL(fileURLWithPath: authority)).write(to: URL(fileURLWithPath: file), options: .atomic)
        }
        try trust(certificates.authority)
        let client = try client(responder, authorityFile: file)
        #expect(await client.fetch().error == nil)
        try trust(certificates.stranger)
        #expect(await client.fetch().error?.kind == .tls)
        try trust(certificates.authority)
        #expect(await client.fetch().error == nil)
    }
}
