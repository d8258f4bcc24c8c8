import DevStore
import Foundation
import TestSupport
import Testing

/// Each oddity as a client sees it: the document's words are beside the members of `OddityPlan`.
@Suite struct OddityTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func service(_ json: String) throws -> StoreService {
        try Data("hello".utf8).write(to: URL(fileURLWithPath: folder.path + "/a"))
        var configuration = StoreConfiguration()
        configuration.buckets = [try #require(BucketTree(name: "b", directory: folder.path))]
        let plan = try JSONDecoder().decode(OddityPlan.self, from: Data(json.utf8))
        return StoreService(configuration, oddities: plan)
    }

    private func ask(
        _ json: String, _ method: String = "GET", _ target: String = "/b/a",
        headers: [(String, String)] = [("x-oss-a", "")]
    ) throws -> StoreResponse {
        let service = try service(json)
        let request = try #require(StoreRequest(method: method, target: target, headers: headers))
        return service.respond(service.exchange(request))
    }

    private func text(_ response: StoreResponse) -> String {
        if case .text(let text) = response.body { text } else { "" }
    }

    private let s3 = [("x-amz-checksum-mode", "ENABLED")]

    @Test func `an archive shows itself and refuses GET until it is restored`() throws {
        let archive = #"{"rules":[{"key":"a","storageClass":"Archive"}]}"#
        #expect(try ask(archive).status == 403)
        #expect(text(try ask(archive)).contains("<Code>InvalidObjectState</Code>"))
        let head = try ask(archive, "HEAD")
        #expect(head.status == 200 && head.headers.contains { $0 == ("x-oss-storage-class", "Archive") })
        #expect(text(try ask(archive, "GET", "/b?list-type=2")).contains("<StorageClass>Archive</StorageClass>"))
        let restored = try ask(#"{"rules":[{"key":"a","storageClass":"Archive","restore":"done"}]}"#)
        #expect(restored.status == 200)
        #expect(restored.headers.contains { $0.name == "x-oss-restore" && $0.value.contains("\"false\"") })
    }

    @Test func `a symlink is listed as itself and read as its target`() throws {
        let json = #"{"rules":[{"key":"link","symlink":"a"}],"objects":[{"key":"link","text":""}]}"#
        let listing = text(try ask(json, "GET", "/b?list-type=2"))
        #expect(listing.contains("<Type>Symlink</Type><Size>0</Size>"))
        #expect(try ask(json, "HEAD", "/b/link").contentLength == 5)
        let dangling = try ask(#"{"rules":[{"key":"link","symlink":"none"}]}"#, "GET", "/b/link")
        #expect(text(dangling).contains("SymlinkTargetNotExist"))
    }

    @Test func `a composite checksum is that of the parts' checksums, and a part has its own`() throws {
        let json = #"{"rules":[{"key":"a","partBytes":2,"checksum":"CRC32"}]}"#
        let head = try ask(json, "HEAD", headers: s3)
        // CRC-32 of the CRC-32s of "he", "ll" and "o", by Python's zlib.crc32.
        #expect(head.headers.contains { $0 == ("x-amz-checksum-crc32", "ZyGEXA==-3") })
        #expect(head.headers.contains { $0 == ("x-amz-checksum-type", "COMPOSITE") })
        let part = try ask(json, "HEAD", "/b/a?partNumber=3", headers: s3)
        #expect(part.status == 206 && part.headers.contains { $0 == ("x-amz-mp-parts-count", "3") })
        #expect(part.headers.contains { $0 == ("Content-Range", "bytes 4-4/5") })
        #expect(try ask(json, "HEAD", "/b/a?partNumber=4", headers: s3).status == 416)
        let full = try ask(#"{"rules":[{"key":"a","checksum":"CRC32"}]}"#, "HEAD", headers: s3)
        #expect(full.headers.contains { $0 == ("x-amz-checksum-crc32", "NhCmhg==") })
    }

    @Test func `parts are told by attributes page by page, by number, or not at all`() throws {
        let json = #"{"rules":[{"key":"a","partBytes":2,"checksum":"CRC32"}]}"#
        let asked = [("x-amz-object-attributes", "ObjectParts"), ("x-amz-max-parts", "2")]
        let first = text(try ask(json, "GET", "/b/a?attributes", headers: asked))
        #expect(first.contains("<PartNumber>2</PartNumber><Size>2</Size><ChecksumCRC32>"), "\(first)")
        #expect(first.contains("<IsTruncated>true</IsTruncated>") && !first.contains("<PartNumber>3<"))
        let rest = text(try ask(json, "GET", "/b/a?attributes", headers: asked + [("x-amz-part-number-marker", "2")]))
        // CRC-32 of "o", by Python's zlib.crc32.
        #expect(rest.contains("<PartNumber>3</PartNumber><Size>1</Size><ChecksumCRC32>Dw+TRA==</ChecksumCRC32>"), "\(rest)")
        #expect(rest.contains("<IsTruncated>false</IsTruncated>"))
        for (told, statuses) in [("attributes", [200, 501]), ("numbers", [501, 206]), ("none", [501, 501])] {
            let json = #"{"rules":[{"key":"a","partBytes":2,"checksum":"CRC32","partsToldBy":"\#(told)"}]}"#
            #expect(try ask(json, "GET", "/b/a?attributes", headers: asked).status == statuses[0])
            #expect(try ask(json, "HEAD", "/b/a?partNumber=1", headers: s3).status == statuses[1])
        }
    }

    @Test func `the requester must agree to pay`() throws {
        #expect(try ask(#"{"requesterPays":true}"#).status == 403)
        #expect(try ask(#"{"requesterPays":true}"#, headers: [("x-oss-request-payer", "requester")]).status == 200)
        #expect(try ask(#"{"requesterPays":true}"#, headers: [("x-amz-request-payer", "requester")]).status == 200)
    }

    @Test func `keys that no folder holds are listed as they are`() throws {
        let json = #"{"objects":[{"key":"m%2F%2Fx","text":"1"},{"key":"m/%FF","text":"22"},{"key":"m/..","text":""}]}"#
        let listing = text(try ask(json, "GET", "/b?list-type=2&prefix=m&encoding-type=url"))
        for key in ["m%2F%2Fx", "m/%FF", "m/.."] { #expect(listing.contains("<Key>\(key)</Key>"), "\(listing)") }
        #expect(try ask(json, "GET", "/b/m//x").contentLength == 1)
    }

    @Test func `OSS codes continuation tokens where the plan says so`() throws {
        let target = "/b?list-type=2&max-keys=1&encoding-type=url"
        let objects = #""objects":[{"key":"b","text":""}]"#
        #expect(
            text(try ask("{\(objects)}", "GET", target)).contains("<NextContinuationToken>YQ==</NextContinuationToken>")
        )
        #expect(
            text(try ask("{\(objects),\"encodedTokens\":true}", "GET", target))
                .contains("<NextContinuationToken>YQ%3D%3D</NextContinuationToken>"))
    }

    @Test func `a proxy's bytes are packed in stored blocks`() throws {
        let response = try ask(#"{"rules":[{"key":"a","packedByProxy":true}]}"#)
        guard case .bytes(let bytes) = response.body else { throw PlainBody() }
        // zlib.compress(b"hello", 0) of Python.
        #expect(bytes == [0x78, 0x01, 0x01, 5, 0, 0xfa, 0xff] + Array("hello".utf8) + [0x06, 0x2c, 0x02, 0x15])
        #expect(response.contentLength == 16)
    }
    private struct PlainBody: Error {}

    @Test func `an encoding, another tag, a refusal and a listing of its own`() throws {
        let encoded = try ask(#"{"rules":[{"key":"a","contentEncoding":""}]}"#)
        #expect(encoded.headers.contains { $0 == ("Content-Encoding", "") })
        let tags = try ["{}", #"{"rules":[{"key":"a","entityTag":"other"}]}"#].map { json in
            try ask(json, "HEAD").headers.first { $0.name == "ETag" }?.value
        }
        #expect(tags[0] == "\"5D41402ABC4B2A76B9719D911017C592\"" && tags[0] != tags[1])
        let refused = #"{"rules":[{"key":"a","refusal":{"status":400,"code":"KMS.DisabledException","message":"m"}}]}"#
        #expect(try ask(refused).status == 400)
        #expect(try ask(refused, "HEAD").status == 200)
        let listed = text(
            try ask(#"{"rules":[{"key":"a","listedSize":7,"listedEntityTag":""}]}"#, "GET", "/b?list-type=2"))
        #expect(listed.contains("<ETag></ETag>") && listed.contains("<Size>7</Size>"))
    }
}
