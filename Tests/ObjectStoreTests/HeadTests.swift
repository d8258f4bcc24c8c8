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

    private func head(_ headers: String, scheme: String = "s3", parts: String = "") async throws -> ObjectHead {
        let responder = try Responder { _, line in
            line.write("HTTP/1.1 200 OK\r\nETag: \"d41d8cd98f00b204e9800998ecf8427e\(parts)\"\r\n\(headers)Content-Length: 9\r\n\r\n")
            return true
        }
        return try await Fixture.client(responder.endpoint, scheme: scheme).head("models/a")
    }

    @Test(arguments: [
        ("oss", ""), ("oss", "x-oss-object-type: Normal\r\nx-oss-hash-crc64ecma: 5\r\n"), ("s3", "x-oss-object-type: Normal\r\n"),
        ("s3", "x-amz-server-side-encryption: aws:kms\r\n"), ("s3", "x-amz-server-side-encryption: aws:kms:dsse\r\n"),
        ("s3", "x-amz-server-side-encryption-customer-algorithm: AES256\r\n"),
    ])
    func `an entity tag is no checksum on OSS nor of an encrypted object`(scheme: String, headers: String) async throws {
        #expect(try await head(headers, scheme: scheme).md5 == nil)
    }

    @Test func `an entity tag of a plain S3 object may be its MD5`() async throws {
        #expect(try await head("").md5?.count == 16)
        #expect(try await head("x-amz-server-side-encryption: AES256\r\n").md5?.count == 16)
    }

    @Test func `every checksum of S3 is read, composite ones are not`() async throws {
        let all = "x-amz-checksum-crc32: AAAAAQ==\r\nx-amz-checksum-crc32c: AAAAAg==\r\nx-amz-checksum-sha1: 2jmj7l5rSw0yVb/vlWAYkK/YBwk=\r\n"
        let full = try await head(all + "x-amz-checksum-type: FULL_OBJECT\r\n")
        #expect(full.crc32 == 1 && full.crc32C == 2 && full.sha1?.count == 20)
        let composite = try await head(all + "x-amz-checksum-type: COMPOSITE\r\n")
        #expect(composite.crc32 == nil && composite.crc32C == nil && composite.sha1 == nil)
    }
    /// moto serves the checksum of the parts' checksums without type and number.
    @Test func `a checksum of an object in parts is full only where the store says so`() async throws {
        let crc = "x-amz-checksum-crc32: AAAAAQ==\r\n"
        let nvme = "x-amz-checksum-crc64nvme: AAAAAAAAAAM=\r\n"
        #expect(try await head(crc, parts: "-3").crc32 == nil)
        #expect(try await head(crc + "x-amz-checksum-type: FULL_OBJECT\r\n", parts: "-3").crc32 == 1)
        #expect(try await head(nvme, parts: "-3").crc64NVME == 3)
        #expect(try await head(crc).crc32 == 1)
    }
}
