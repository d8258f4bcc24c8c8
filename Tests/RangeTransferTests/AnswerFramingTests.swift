import RangeTransfer
import TestSupport
import Testing

/// How bytes become an answer, whatever pieces they come in.
@Suite struct AnswerFramingTests {
    /// What came out of the framing.
    private final class Seen: AnswerReceiver {
        var head = ResponseHead()
        var body: [UInt8] = []
        var headEnds = 0

        func receive(header line: UnsafeRawBufferPointer) -> Bool {
            let text = String(decoding: line.filter { $0 != 0x0d && $0 != 0x0a }, as: UTF8.self)
            if text.isEmpty {
                headEnds += 1
                return true
            }
            return head.consume(line: text)
        }

        func receive(body bytes: UnsafeRawBufferPointer) -> Bool {
            body += bytes
            return true
        }
    }

    private struct Outcome: Equatable {
        var fault: AnswerFraming.Fault?
        var body: [UInt8] = []
        var used = 0
        var isDone = false
        var isReusable = false
    }

    /// Feeds the pieces, up to the first that is not taken whole, then closes if asked.
    private func outcome(of pieces: [[UInt8]], closes: Bool = false) -> Outcome {
        var framing = AnswerFraming()
        let seen = Seen()
        var result = Outcome()
        do {
            for piece in pieces {
                let used = try piece.withUnsafeBytes { try framing.feed($0, to: seen) }
                result.used += used
                if used < piece.count { break }
            }
            if closes { try framing.close() }
        } catch {
            result.fault = error as? AnswerFraming.Fault
        }
        result.body = seen.body
        result.isDone = framing.isDone
        result.isReusable = framing.allowsReuse(seen.head)
        return result
    }

    private static let plain = Array("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello".utf8)
    private static let chunked = Array("HTTP/1.1 503 Slow\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n".utf8)
    private static let interim = Array("HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".utf8)
    private static let bareFeeds = Array("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".utf8)

    @Test(arguments: [plain, chunked, interim, bareFeeds])
    func `an answer split at any byte is the same answer`(answer: [UInt8]) {
        let want = Outcome(body: Array("hello".utf8), used: answer.count, isDone: true, isReusable: true)
        #expect(outcome(of: [answer]) == want)
        #expect(outcome(of: answer.map { [$0] }) == want)
        for split in 1..<answer.count {
            #expect(outcome(of: [Array(answer[..<split]), Array(answer[split...])]) == want, "split at \(split)")
        }
    }

    @Test(arguments: [plain, chunked, interim])
    func `a connection that ends within an answer is a fault at every byte`(answer: [UInt8]) {
        for length in 0..<answer.count {
            let got = outcome(of: [Array(answer[..<length])], closes: true)
            if length == 0 {
                #expect(got.fault == .nothing)
            } else if case .cutShort = got.fault {
            } else {
                Issue.record("cut at \(length): \(got)")
            }
        }
    }

    @Test(arguments: [plain, chunked, interim])
    func `what follows an answer is not a part of it`(answer: [UInt8]) {
        let got = outcome(of: [answer + answer])
        #expect(got.used == answer.count)
        #expect(got.body == Array("hello".utf8))
        #expect(outcome(of: [answer, Array("x".utf8)]).used == answer.count)
    }

    @Test func `without a length the connection's end is the body's end`() {
        let got = outcome(of: [Array("HTTP/1.1 200 OK\r\n\r\nhello".utf8)], closes: true)
        #expect(got == Outcome(body: Array("hello".utf8), used: 24, isDone: true, isReusable: false))
    }

    @Test(arguments: ["204 No Content", "304 Not Modified"])
    func `some answers have no body`(status: String) {
        #expect(outcome(of: [Array("HTTP/1.1 \(status)\r\n\r\n".utf8)]).isDone)
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nConnection: Close\r\n", false), ("HTTP/1.1 200 OK\r\nConnection: x, close\r\n", false), ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.0 200 OK\r\n", false), ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", true),
    ])
    func `a connection is used again when the server allows it`(head: String, reusable: Bool) {
        #expect(outcome(of: [Array("\(head)Content-Length: 0\r\n\r\n".utf8)]).isReusable == reusable)
    }

    @Test func `an answer with a length and a coding ends its connection`() {
        let got = outcome(of: [Array("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".utf8)])
        #expect(got.isDone)
        #expect(!got.isReusable)
        #expect(got.body == Array("x".utf8))
    }

    @Test(arguments: [
        "220 mail.example ESMTP\r\n", "HTTP/2 200 OK\r\n", "\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11112222333344445\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
    ])
    func `what is not HTTP is refused`(text: String) {
        guard case .notHTTP = outcome(of: [Array(text.utf8)]).fault else {
            Issue.record("\(text)")
            return
        }
    }

    @Test func `lines without an end and trailers without an end are refused`() {
        #expect(outcome(of: Array(repeating: [UInt8](repeating: 0x41, count: 1000), count: 9)).fault == .oversizedLine)
        let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + String(repeating: "A: b\r\n", count: 200)
        #expect(outcome(of: [Array(trailers.utf8)]).fault == .oversizedLine)
        #expect(outcome(of: [Array(("HTTP/1.1 200 OK\r\n" + String(repeating: "A: b\r\n", count: 200)).utf8)]).fault == .refused)
    }

    @Test(arguments: SeededRandom.seeds(1))
    func `damaged answers give the same in any pieces, and never more than they announce`(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        let tokens = ["\r\n", "\n", "\r\n\r\n", "HTTP/1.1 ", "100", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "0\r\n", "ffffffffffffffff\r\n", "\u{0}", ":", " ", "5"]
        for round in 0..<20_000 {
            var bytes = [Self.plain, Self.chunked, Self.interim, Self.bareFeeds].randomElement(using: &generator)!
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                let place = Int.random(in: 0...bytes.count, using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: bytes.insert(contentsOf: Array(tokens.randomElement(using: &generator)!.utf8), at: place)
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0...9, using: &generator)))
                case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                }
            }
            var pieces: [[UInt8]] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Int.random(in: 1...rest.count, using: &generator)
                pieces.append(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            let whole = outcome(of: [bytes], closes: true)
            let split = outcome(of: pieces, closes: true)
            // How far a fault's piece was counted depends on the pieces; what was made of the bytes must not.
            if whole.fault != split.fault || whole.body != split.body || whole.isDone != split.isDone || whole.body.count > bytes.count {
                Issue.record("seed \(seed) round \(round): \(String(decoding: bytes, as: UTF8.self)) whole \(whole) split \(split)")
                return
            }
        }
    }

    @Test(arguments: ["Content-Length", "Content-Range", "Content-Encoding", "Transfer-Encoding", "ETag"])
    func `a head that says two different things of one body is refused`(field: String) {
        var head = ResponseHead()
        let taken = ["HTTP/1.1 206 Partial Content", "\(field): 1", "\(field): 1", "\(field): 2"].map { head.consume(line: $0) }
        #expect(taken == [true, true, true, false])
    }
}
