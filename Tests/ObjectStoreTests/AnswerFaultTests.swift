import ObjectStore
import RangeTransfer
import Testing

/// What a range read makes of every wrong answer: its kind, and that no wrong byte reached the sink.
@Suite struct AnswerFaultTests {
    private struct Outcome {
        let error: StoreError?
        let delivered: [UInt8]
        let requests: Int
    }

    /// Writes the pieces and closes the connection.
    private func outcome(of pieces: String..., range: ObjectRange = Fixture.range, reset: Bool = false) async throws -> Outcome {
        let responder = try Responder { _, line in
            for piece in pieces { line.write(piece) }
            if reset { line.resetOnClose() }
            return false
        }
        let sink = Collector()
        let result = try await Fixture.client(responder.endpoint).fetch(range, into: sink)
        return Outcome(error: result.error, delivered: sink.bytes, requests: responder.requests)
    }

    private let thousand = String(repeating: "x", count: 1000)

    @Test func `a right answer is delivered whole`() async throws {
        let got = try await outcome(of: Fixture.rightHead, thousand)
        #expect(got.error == nil)
        #expect(got.delivered.count == 1000)
    }

    @Test(arguments: [
        "Content-Range: bytes 0-999/5000\r\n", "Content-Range: bytes 100-1100/5000\r\n", "Content-Range: bytes 100-1099/*\r\n", "",
        "Content-Range: bytes 100-1099/5000\r\nContent-Range: bytes 0-999/5000\r\n", "Content-Range: bytes +100-1099/5000\r\n",
    ])
    func `a wrong Content-Range is refused before its body`(line: String) async throws {
        let got = try await outcome(of: "HTTP/1.1 206 OK\r\n\(line)Content-Length: 1000\r\n\r\n", thousand)
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.delivered.isEmpty)
    }

    @Test func `200 in place of 206 is refused before its body`() async throws {
        let got = try await outcome(of: "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nContent-Length: 5000\r\n\r\n", thousand)
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.error?.description.contains("200 in place of 206") == true)
        #expect(got.delivered.isEmpty)
    }

    @Test func `200 serves a range that is the whole object`() async throws {
        let whole = ObjectRange(key: "models/a", etag: "tag", objectSize: 1000, offset: 0, length: 1000)
        let got = try await outcome(of: "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nContent-Length: 1000\r\n\r\n", thousand, range: whole)
        #expect(got.error == nil)
        #expect(got.delivered.count == 1000)
    }

    @Test(arguments: ["Content-Length: 1000\r\n", ""])
    func `a short body is an error`(length: String) async throws {
        let head = "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\n\(length)\r\n"
        let got = try await outcome(of: head, String(repeating: "x", count: 999))
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.delivered.count == 999)
    }

    @Test func `a long body is cut at the range's end`() async throws {
        let head = "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\nTransfer-Encoding: chunked\r\n\r\n"
        let got = try await outcome(of: head, "3e8\r\n\(thousand)\r\n1\r\nx\r\n0\r\n\r\n")
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.delivered.count <= 1000)
    }

    @Test func `a Content-Length that does not fit the range is refused`() async throws {
        let got = try await outcome(of: "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\nContent-Length: 1001\r\n\r\n", thousand)
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.delivered.isEmpty)
    }

    @Test func `a chunked body of the right length is accepted`() async throws {
        let head = "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\nTransfer-Encoding: chunked\r\n\r\n"
        let got = try await outcome(of: head, "1f4\r\n", String(repeating: "x", count: 500), "\r\n1f4\r\n", String(repeating: "x", count: 500), "\r\n0\r\nX-Trailer: 1\r\n\r\n")
        #expect(got.error == nil)
        #expect(got.delivered.count == 1000)
    }

    @Test(arguments: ["", "identity", "aws-chunked", "gzip", "gzip, aws-chunked", "utf-8"])
    func `an object is taken with the coding that it is stored with`(coding: String) async throws {
        let got = try await outcome(
            of: "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\nContent-Encoding: \(coding)\r\nContent-Length: 1000\r\n\r\n", thousand)
        #expect(got.error == nil)
        #expect(got.delivered.count == 1000)
    }

    @Test(arguments: [
        "HTTP/1.1 206 OK\r\nETag: \"tag\"\r\nContent-Range: bytes 100-1099/3000\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nETag: W/\"tag\"\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
        "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\nContent-Encoding: gzip\r\nVia: 1.1 squid\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ])
    func `a proxy that changes the bytes is found by their number and named`(head: String) async throws {
        let got = try await outcome(of: head, thousand)
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.error?.description.contains("encoded as gzip, a proxy between may compress") == true)
        #expect(got.delivered.isEmpty)
    }

    @Test func `a weak entity tag of a proxy is the store's own`() async throws {
        let got = try await outcome(
            of: "HTTP/1.1 206 OK\r\nETag: W/\"tag\"\r\nContent-Range: bytes 100-1099/5000\r\nContent-Length: 1000\r\n\r\n", thousand)
        #expect(got.error == nil)
    }

    @Test func `a reset connection is lost, with libcurl's words`() async throws {
        let got = try await outcome(of: Fixture.rightHead, "some", reset: true)
        #expect(got.error?.kind == .connectionLost)
        #expect(got.error?.description.contains("broke: ") == true)
    }

    @Test(arguments: [
        "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5000\r\nETag: \"other\"\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Range: bytes 100-1099/5001\r\nETag: \"tag\"\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n",
    ])
    func `a replaced object is told as such`(head: String) async throws {
        let got = try await outcome(of: head, thousand)
        #expect(got.error?.kind == .objectChanged)
        #expect(got.delivered.isEmpty)
    }

    @Test(arguments: [
        ("x-oss-qos-delay-time: 250\r\nRetry-After: 9\r\n", Duration.milliseconds(250)), ("Retry-After: 3\r\n", .seconds(3)),
        ("Date: Sat, 21 Nov 2026 06:00:00 GMT\r\nRetry-After: Sat, 21 Nov 2026 06:00:07 GMT\r\n", .seconds(7)),
        ("x-oss-qos-delay-time: 99999999999\r\n", .seconds(3600)),
    ])
    func `throttling carries the delay that the store asks for`(headers: String, want: Duration) async throws {
        let got = try await outcome(of: Fixture.answer("503 Slow Down", Fixture.xml("SlowDown"), headers: headers))
        #expect(got.error?.kind == .throttled)
        #expect(got.error?.retryAfter == want)
        #expect(got.error?.code == "SlowDown")
        #expect(got.delivered.isEmpty)
    }

    @Test func `garbage in place of an error's XML leaves the status to tell`() async throws {
        let got = try await outcome(of: Fixture.answer("403 Forbidden", "<Error><Code>NoSuchKey</Cod\u{7f}>&&&"))
        #expect(got.error?.kind == .accessDenied)
        #expect(got.error?.code == nil)
    }

    @Test(arguments: [9000, 150_000])
    func `a giant header line is a malformed answer`(length: Int) async throws {
        let got = try await outcome(of: "HTTP/1.1 206 OK\r\nX-Long: \(String(repeating: "y", count: length))\r\n\r\n")
        #expect(got.error?.kind == .malformedAnswer)
        #expect(got.error?.description.contains("oversized") == true)
    }

    @Test func `a head of very many lines is a malformed answer`() async throws {
        let got = try await outcome(of: "HTTP/1.1 206 OK\r\n", String(repeating: "X-A: b\r\n", count: 500), "\r\n")
        #expect(got.error?.kind == .malformedAnswer)
    }

    @Test func `what is not HTTP is a malformed answer`() async throws {
        let got = try await outcome(of: "220 mail.example ESMTP\r\n")
        #expect(got.error?.kind == .malformedAnswer)
    }

    @Test(arguments: ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
    func `a redirect is not followed`(status: String) async throws {
        let got = try await outcome(of: Fixture.answer(status, headers: "Location: /bucket-x/models/b\r\n"))
        #expect(got.error?.kind == .wrongRegion)
        #expect(got.requests == 1)
    }

    @Test func `a listing that is not XML is malformed and says so`() async throws {
        let responder = try Responder { _, line in
            line.write(Fixture.answer("200 OK", "<html><body>login</body></html>"))
            return true
        }
        let client = try Fixture.client(responder.endpoint)
        let error = await #expect(throws: StoreError.self) { try await client.list() }
        #expect(error?.kind == .malformedAnswer)
        #expect(error?.description.contains("not a ListBucketResult") == true)
    }

    @Test func `a listing whose tokens never end is malformed`() async throws {
        let responder = try Responder { request, line in
            let body = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t\(request.number)</NextContinuationToken></ListBucketResult>"
            line.write(Fixture.answer("200 OK", body))
            return true
        }
        let client = try Fixture.client(responder.endpoint)
        let error = await #expect(throws: StoreError.self) { try await client.list() }
        #expect(error?.kind == .malformedAnswer)
        #expect(error?.description.contains("does not end") == true)
        #expect(responder.requests < 100)
    }
}
