import Foundation
import ObjectStore
import Testing

/// HEAD has no body, so its refusals must be explained by other means.
@Suite struct HeadTests {
    /// Refuses HEAD without a word and answers GET with the code.
    private func headError(_ status: String, onGet get: String, scheme: String = "s3", headers: String = "") async throws
        -> (error: StoreError?, requests: Int)
    {
        let responder = try Responder { request, line in
            line.write(request.method == "HEAD" ? "HTTP/1.1 \(status)\r\n\(headers)Content-Length: 0\r\n\r\n" : get)
            return true
        }
        let client = try Fixture.client(
            responder.endpoint, scheme: scheme, credentials: .fixed(StoreCredentials(keyID: "id", secret: "s")))
        let error = await #expect(throws: StoreError.self) { try await client.head("models/a") }
        return (error, responder.requests)
    }

    @Test(arguments: [
        ("403 Forbidden", "InvalidAccessKeyId", StoreError.Kind.wrongKey),
        ("403 Forbidden", "SignatureDoesNotMatch", .wrongSecret), ("403 Forbidden", "RequestTimeTooSkewed", .clockSkew),
        ("403 Forbidden", "AccessDenied", .accessDenied), ("404 Not Found", "NoSuchBucket", .noSuchBucket),
        ("404 Not Found", "NoSuchKey", .noSuchKey), ("400 Bad Request", "ExpiredToken", .expiredToken),
    ])
    func `a silent refusal is explained by one small GET`(status: String, code: String, kind: StoreError.Kind) async throws {
        let got = try await headError(status, onGet: Fixture.answer(status, Fixture.xml(code)))
        #expect(got.error?.kind == kind)
        #expect(got.error?.code == code)
        #expect(got.requests == 2)
    }

    @Test func `what stays silent names both possibilities`() async throws {
        let missing = try await headError("404 Not Found", onGet: Fixture.answer("404 Not Found"))
        #expect(missing.error?.description.contains("bucket bucket-x") == true)
        let denied = try await headError("403 Forbidden", onGet: Fixture.answer("200 OK", String(repeating: "x", count: 100_000)))
        #expect(denied.error?.kind == .accessDenied)
        #expect(denied.error?.description.contains("or the object does not exist") == true)
    }

    @Test func `OSS explains itself in a header, and is not asked again`() async throws {
        let encoded = Data(Fixture.xml("NoSuchBucket").utf8).base64EncodedString()
        let got = try await headError("404 Not Found", onGet: "", scheme: "oss", headers: "x-oss-err: \(encoded)\r\n")
        #expect(got.error?.kind == .noSuchBucket)
        #expect(got.requests == 1)
    }
}
