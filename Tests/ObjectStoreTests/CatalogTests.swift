import Foundation
import ObjectStore
import TestSupport
import Testing

/// What becomes of a listing: keys that are files, keys that cannot be, objects that cannot be read.
@Suite struct CatalogTests {
    private let location: ObjectLocation
    init() throws { location = try ObjectLocation(parsing: "oss://bucket-x/models/") }

    private func catalog(_ keys: [(String, UInt64)], include: [String] = []) -> SourceCatalog {
        let objects = keys.map { StoredObject(key: "models/" + $0.0, size: $0.1, etag: "t", lastModified: nil) }
        return SourceCatalog(ObjectListing(objects: objects), of: location, include: include)
    }

    @Test(arguments: [
        "/stray.txt", "a//b", "./a", "a/./b", "../a", "a/..", "a/", "a\u{1}b", "a\nb", "tab\t", "", ".partial/a", ".presence", ".modelcache/x",
        "../\u{301}a", "a/./\u{301}b", ".modelcache/\u{301}x",
        String(repeating: "x", count: 256), "d/" + String(repeating: "é", count: 128) + "/b", String(repeating: "d/", count: 1501) + "x",
    ])
    func `a key that cannot be a file is left out and named, the others stay`(key: String) {
        let got = catalog([("model.bin", 5), (key, 7)])
        #expect(got.objects.map(\.key) == ["models/model.bin"])
        #expect(got.leftOut.count == 1)
        #expect(got.leftOutWarning?.hasPrefix("1 object cannot be files and are left out: \"") == true)
    }

    @Test(arguments: [" a", "a b", "ä", "😀.bin", "a.", "...", "..a/b", ".hidden", "a/.partial", "%2F", "a\\b", "c:d", "a/\u{301}b", String(repeating: "x", count: 255)])
    func `an odd key that can be a file is one`(key: String) {
        let got = catalog([(key, 7)])
        #expect(got.objects.count == 1)
        #expect(got.leftOutWarning == nil)
    }

    @Test(arguments: [
        ([("model", 900), ("model/stray", 3)], ["model"]), ([("p", 0), ("p/a", 0), ("p/b", 4)], ["p/a", "p/b"]),
        ([("p", 0), ("p/a", 0)], ["p/a"]), ([("a", 1), ("a/b", 5), ("a/b/c", 9)], ["a/b/c"]),
        ([("a", 99), ("a/b", 5), ("a/b/c", 9)], ["a"]), ([("a-b", 1), ("a", 3), ("a/x", 4)], ["a-b", "a/x"]),
        ([("a", UInt64.max), ("a/b", UInt64.max), ("a/c", 5)], ["a/b", "a/c"]),
    ] as [([(String, UInt64)], [String])])
    func `of a file that is a folder too the side with more bytes stays`(keys: [(String, UInt64)], kept: [String]) {
        let got = catalog(keys)
        #expect(got.objects.map { got.relativeKey($0) } == kept)
        #expect(got.leftOut.count == keys.count - kept.count)
    }

    @Test(arguments: SeededRandom.seeds(3)) func `random keys never leave a file below a file`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<2000 {
            let keys = (0..<Int.random(in: 1...8, using: &random)).map { _ in
                let parts = (0..<Int.random(in: 1...4, using: &random)).map { _ in ["a", "b", "..", ""].randomElement(using: &random) ?? "a" }
                return (parts.joined(separator: "/"), UInt64.random(in: 0...3, using: &random))
            }
            let got = catalog(keys)
            let names = got.objects.map { got.relativeKey($0) }
            for name in names { #expect(!names.contains { $0.hasPrefix(name + "/") }, "seed \(seed): \(keys)") }
            #expect(Set(names).count == names.count)
            #expect(names.count + got.leftOut.count == keys.count, "seed \(seed): \(keys)")
        }
    }

    @Test func `a warning names five keys, escaped and cut, and counts the rest`() {
        let got = catalog((0..<9).map { ("x//\u{7}\($0)" + String(repeating: "y", count: 300), 1) })
        let warning = got.leftOutWarning ?? ""
        #expect(warning.contains("\\u{7}") && warning.contains("and 4 more") && warning.utf8.count < 1200)
    }

    @Test func `what include leaves out is not named`() {
        let got = catalog([("a.gguf", 1), ("b//c.txt", 1)], include: ["*.gguf"])
        #expect(got.objects.count == 1 && got.leftOut.isEmpty)
    }

    // MARK: Against a store

    private static func listing(_ entries: [String], more: String = "") -> String {
        Fixture.answer(
            "200 OK", "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>\(more.isEmpty ? "false" : "true")</IsTruncated>\(more)"
                + entries.map { "<Contents>\($0)<ETag>\"l\"</ETag></Contents>" }.joined() + "</ListBucketResult>")
    }

    /// The store's answer to HEAD and to GET of each key.
    private func catalog(
        scheme: String = "oss", _ entries: [String], head: [String: String] = [:], get: [String: String] = [:], include: [String] = []
    ) async throws -> SourceCatalog {
        let responder = try Responder { request, line in
            if request.target.contains("list-type=2") {
                line.write(Self.listing(entries))
                return true
            }
            let key = request.target.split(separator: "/").last.map(String.init) ?? ""
            if request.method == "HEAD" {
                line.write(head[key] ?? "HTTP/1.1 200 OK\r\nETag: \"h\"\r\nContent-Length: 9\r\n\r\n")
            } else {
                line.write(get[key] ?? Fixture.answer("206 Partial Content", "x", headers: "Content-Range: bytes 0-0/9\r\n"))
            }
            return true
        }
        return try await Fixture.client(responder.endpoint, scheme: scheme).catalog(include: include)
    }

    @Test func `a symlink has the size and tag of the object that it leads to`() async throws {
        let got = try await catalog(["<Key>models/link</Key><Size>0</Size><Type>Symlink</Type>", "<Key>models/plain</Key><Size>4</Size>"])
        #expect(got.objects.map(\.size) == [9, 4])
        #expect(got.objects.map(\.etag) == ["h", "l"])
    }

    @Test(arguments: [
        ("oss", "Archive", "", true), ("oss", "ColdArchive", "x-oss-restore: ongoing-request=\"true\"\r\n", true),
        ("oss", "DeepColdArchive", "x-oss-restore: ongoing-request=\"false\", expiry-date=\"Sun, 22 Nov 2026 06:00:00 GMT\"\r\n", false),
        ("oss", "IA", "", false), ("s3", "GLACIER", "", true), ("s3", "DEEP_ARCHIVE", "", true),
        ("s3", "GLACIER", "x-amz-restore: ongoing-request=\"false\", expiry-date=\"x\"\r\n", false), ("s3", "GLACIER_IR", "", false),
    ])
    func `an archived object is named with its remedy, a restored one is read`(scheme: String, storageClass: String, head: String, isUnreadable: Bool) async throws {
        let got = try await catalog(
            scheme: scheme, ["<Key>models/old</Key><Size>9</Size><StorageClass>\(storageClass)</StorageClass>", "<Key>models/new</Key><Size>9</Size>"],
            head: ["old": "HTTP/1.1 200 OK\r\nETag: \"l\"\r\n\(head)Content-Length: 9\r\n\r\n"],
            get: ["old": Fixture.answer("403 Forbidden", Fixture.xml("InvalidObjectState"))])
        #expect(got.objects.count == 2)
        #expect(got.unreadable.map(\.key) == (isUnreadable ? ["old"] : []))
        if isUnreadable { #expect(got.unreadableWarning?.contains("restore") == true) }
    }

    @Test func `a bucket that serves archives at once has no unreadable object`() async throws {
        let got = try await catalog(["<Key>models/old</Key><Size>9</Size><StorageClass>Archive</StorageClass>"])
        #expect(got.unreadable.isEmpty)
    }

    @Test func `a link that leads nowhere is unreadable, an object deleted meanwhile is left out`() async throws {
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        let got = try await catalog(
            ["<Key>models/link</Key><Size>9</Size><Type>Symlink</Type>", "<Key>models/old</Key><Size>9</Size><StorageClass>Archive</StorageClass>", "<Key>models/a</Key><Size>1</Size>"],
            head: ["link": missing, "old": missing],
            get: ["link": Fixture.answer("404 Not Found", Fixture.xml("NoSuchKey")), "old": Fixture.answer("404 Not Found", Fixture.xml("NoSuchKey"))])
        #expect(got.objects.map(\.key) == ["models/link", "models/a"])
        #expect(got.unreadable.map(\.key) == ["link"] && got.leftOut.map(\.key) == ["old"])
    }

    @Test func `a name that is no text is left out`() async throws {
        let got = try await catalog(["<Key>models/%FF%FE</Key><Size>1</Size>", "<Key>models/a</Key><Size>1</Size>"])
        #expect(got.objects.map(\.key) == ["models/a"])
        #expect(got.leftOut.first?.reason == "is no UTF-8 text")
    }

    @Test func `a prefix that is one object's key is told how to be written`() async throws {
        let error = await #expect(throws: StoreError.self) { try await catalog([]) }
        #expect(error?.description.contains("oss://bucket-x/models is one object of 9 bytes") == true)
        #expect(error?.description.contains("without the slash at its end") == true)
    }

    /// oss2 and alibabacloud-oss-v2 decode the token when the listing is encoded, botocore does not.
    @Test(arguments: [("oss", "t%2B%2F%3D5", "t%2B%2F%3D5"), ("oss", "t+/=5", "t%2B%2F%3D5"), ("s3", "t+/=5", "t%2B%2F%3D5"), ("s3", "t%2B5", "t%252B5"), ("oss", "50%", "50%25")])
    func `a continuation token is sent back as the store's own SDK does`(scheme: String, token: String, sent: String) async throws {
        let responder = try Responder { request, line in
            let isSecond = request.target.contains("continuation-token=\(sent)&")
            let isFirst = !request.target.contains("continuation-token")
            line.write(
                isFirst ? Self.listing(["<Key>models/a</Key><Size>1</Size>"], more: "<NextContinuationToken>\(token)</NextContinuationToken>")
                    : isSecond ? Self.listing(["<Key>models/b</Key><Size>1</Size>"])
                    : Fixture.answer("400 Bad Request", Fixture.xml("InvalidArgument", request.target)))
            return true
        }
        let got = try await Fixture.client(responder.endpoint, scheme: scheme).catalog(include: [])
        #expect(got.objects.count == 2)
    }

    @Test(arguments: [("oss", "x-oss-request-payer"), ("s3", "x-amz-request-payer")])
    func `a requester that pays says so in every request`(scheme: String, header: String) async throws {
        let responder = try Responder { request, line in
            guard request.headers[header] == "requester" else {
                line.write(Fixture.answer("403 Forbidden", Fixture.xml("AccessDenied", "Access Denied because of requester pays")))
                return true
            }
            if request.target.contains("list-type") {
                line.write(Self.listing(["<Key>models/a</Key><Size>5000</Size>"]))
            } else if request.method == "HEAD" {
                line.write("HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nContent-Length: 5000\r\n\r\n")
            } else {
                line.write(Fixture.rightHead)
                line.write(Fixture.body)
            }
            return true
        }
        let poor = try Fixture.client(responder.endpoint, scheme: scheme)
        let refusal = await #expect(throws: StoreError.self) { try await poor.catalog(include: []) }
        #expect(refusal?.description.contains("MODELCACHE_REQUEST_PAYER=requester") == true)
        var configuration = poor.configuration
        configuration.requesterPays = true
        let client = StoreClient(configuration, engine: try Fixture.engine())
        #expect(try await client.catalog(include: []).objects.count == 1)
        #expect(try await client.head("models/a").size == 5000)
        #expect(await client.fetch().error == nil)
    }
}
