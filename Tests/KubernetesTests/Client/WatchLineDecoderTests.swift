import Kubernetes
import NIOCore
import Testing

@Suite struct WatchLineDecoderTests {
    private func lines(_ pieces: [[UInt8]], limit: Int = 100) throws -> (lines: [String], inside: Bool) {
        var decoder = WatchLineDecoder(limit: limit)
        var found: [String] = []
        for piece in pieces {
            decoder.feed(ByteBuffer(bytes: piece))
            while let line = try decoder.nextLine() { found.append(String(buffer: line)) }
        }
        return (found, decoder.isInsideLine)
    }

    @Test func `lines are the same wherever the body is split`() throws {
        let body = Array("{\"a\":1}\n\n{\"b\":\"\u{e9}\u{1F600}\"}\r\n{}\n".utf8)
        let whole = try lines([body]).lines
        #expect(whole == ["{\"a\":1}", "{\"b\":\"\u{e9}\u{1F600}\"}\r", "{}"])
        for first in 0...body.count {
            for second in first...body.count {
                let split = try lines([Array(body[..<first]), Array(body[first..<second]), Array(body[second...])])
                #expect(split.lines == whole && !split.inside, "split at \(first) and \(second)")
            }
        }
        #expect(try lines(body.map { [$0] }).lines == whole)
    }

    @Test func `an unfinished line is not an event`() throws {
        let cut = try lines([Array("{}\n{\"type\":".utf8)])
        #expect(cut.lines == ["{}"])
        #expect(cut.inside)
    }

    @Test func `a line longer than the limit is refused, whole or in pieces`() throws {
        #expect(try lines([Array("12345678\n".utf8)], limit: 8).lines == ["12345678"])
        #expect(throws: WatchLineDecoder.LineTooLong.self) { try lines([Array("123456789\n".utf8)], limit: 8) }
        #expect(throws: WatchLineDecoder.LineTooLong.self) { try lines("123456789".utf8.map { [$0] }, limit: 8) }
    }
}
