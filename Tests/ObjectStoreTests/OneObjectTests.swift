import Foundation
import ObjectStore
import RangeTransfer
import Synchronization
import Testing

/// A location without a final slash: one object, all parts of a split model, or a prefix.
@Suite struct OneObjectTests {
    /// A store of these objects, key to bytes.
    private static func client(
        _ objects: [String: Int], at uri: String, listing: Bool = true, archived: Bool = false
    ) throws -> (client: StoreClient, seen: Mutex<[String]>.Box) {
        let seen = Mutex<[String]>.Box()
        let responder = try Responder { request, line in
            seen.append("\(request.method) \(request.target)")
            let parts = request.target.split(separator: "?", maxSplits: 1).map(String.init)
            if request.target.contains("list-type=2") {
                guard listing else {
                    line.write(Fixture.answer("403 Forbidden", Fixture.xml("AccessDenied")))
                    return true
                }
                let asked = parts.last?.split(separator: "&").first { $0.hasPrefix("prefix=") }?.dropFirst(7)
                let prefix = (asked.map(String.init) ?? "").removingPercentEncoding ?? ""
                let entries = objects.keys.filter { $0.hasPrefix(prefix) }.sorted().map {
                    "<Contents><Key>\($0)</Key><Size>\(objects[$0] ?? 0)</Size><ETag>\"l\"</ETag></Contents>"
                }
                line.write(
                    Fixture.answer(
                        "200 OK", "<ListBucketResult><IsTruncated>false</IsTruncated>\(entries.joined())</ListBucketResult>"))
                return true
            }
            let key = String(parts[0].dropFirst("/bucket-x/".count)).removingPercentEncoding ?? ""
            if let size = objects[key] {
                let storage = archived ? "x-oss-storage-class: Archive\r\n" : ""
                line.write(
                    request.method == "HEAD"
                        ? "HTTP/1.1 200 OK\r\nETag: \"h\"\r\n\(storage)Content-Length: \(size)\r\n\r\n"
                        : Fixture.answer("403 Forbidden", Fixture.xml("InvalidObjectState")))
            } else {
                let body = request.method == "HEAD" ? "" : Fixture.xml("NoSuchKey")
                line.write(Fixture.answer("404 Not Found", body))
            }
            return true
        }
        let base = try Fixture.client(responder.endpoint)
        var configuration = base.configuration
        configuration.location = try ObjectLocation(parsing: uri)
        return (StoreClient(configuration, sharing: base), seen)
    }

    private static func keys(_ objects: [String: Int], at uri: String, listing: Bool = true) async throws -> [String] {
        let catalog = try await client(objects, at: uri, listing: listing).client.catalog(include: [])
        // The way a fill asks for them.
        #expect(catalog.objects.map(\.key) == catalog.objects.map { catalog.location.prefix + catalog.relativeKey($0) })
        return catalog.objects.map { catalog.relativeKey($0) }
    }

    @Test(arguments: [
        ("oss://bucket-x/a/model.gguf", ["model.gguf"]), ("oss://bucket-x/top.gguf", ["top.gguf"]),
        ("oss://bucket-x/a", ["model.gguf", "sub/other.gguf"]), ("oss://bucket-x/a/", ["model.gguf", "sub/other.gguf"]),
        // An empty object beside a prefix of its name is a folder's mark.
        ("oss://bucket-x/marked", ["x.gguf"]),
    ])
    func `the store says whether a text is an object or a prefix`(uri: String, names: [String]) async throws {
        let objects = ["a/model.gguf": 9, "a/sub/other.gguf": 8, "top.gguf": 7, "top.gguf.md5": 1, "marked": 0, "marked/x.gguf": 3]
        #expect(try await Self.keys(objects, at: uri) == names)
    }

    @Test func `the first part of a split model brings all parts, another part itself`() async throws {
        let names = (1...3).map { "x-0000\($0)-of-00003.gguf" }
        let objects = Dictionary(uniqueKeysWithValues: names.map { ("m/\($0)", 5) } + [("m/other.gguf", 5)])
        #expect(try await Self.keys(objects, at: "oss://bucket-x/m/\(names[0])") == names)
        #expect(try await Self.keys(objects, at: "oss://bucket-x/m/\(names[1])") == [names[1]])
        let error = await #expect(throws: StoreError.self) {
            try await Self.keys(objects.filter { $0.key != "m/\(names[2])" }, at: "oss://bucket-x/m/\(names[0])")
        }
        #expect(error?.kind == .noSuchKey)
        #expect(error?.description.contains("first of 3 parts, and x-00003-of-00003.gguf is not there") == true)
    }

    @Test(arguments: ["x-00001-of-00001.gguf", "x-00001-of-0003.gguf", "x-00001-of-+0003.gguf", "x-00001-of-99999.gguf", "-00001-of-00002.bin"])
    func `a name that only looks like a first part is one file`(name: String) async throws {
        #expect(try await Self.keys([name: 5], at: "oss://bucket-x/\(name)") == [name])
    }

    @Test func `an object that is a prefix too is refused with both ways to write it`() async throws {
        let error = await #expect(throws: StoreError.self) {
            try await Self.keys(["a": 5, "a/b": 6], at: "oss://bucket-x/a")
        }
        #expect(error?.kind == .settings)
        #expect(error?.description.contains("an object of 5 bytes and a prefix of 1 objects; write oss://bucket-x/a/") == true)
        // With the slash there is no doubt.
        #expect(try await Self.keys(["a": 5, "a/b": 6], at: "oss://bucket-x/a/") == ["b"])
    }

    @Test func `a text that names nothing says so`() async throws {
        let error = await #expect(throws: StoreError.self) { try await Self.keys(["b": 5], at: "oss://bucket-x/a") }
        #expect(error?.kind == .noSuchKey)
        #expect(error?.description.contains("oss://bucket-x/a is neither an object nor a prefix") == true)
    }

    @Test func `an object is read with the right to read it alone`() async throws {
        #expect(try await Self.keys(["a": 5], at: "oss://bucket-x/a", listing: false) == ["a"])
        let error = await #expect(throws: StoreError.self) {
            try await Self.keys(["a": 5], at: "oss://bucket-x/b", listing: false)
        }
        #expect(error?.kind == .accessDenied)
    }

    @Test func `an archived object is found at opening`() async throws {
        let catalog = try await Self.client(["a": 5], at: "oss://bucket-x/a", archived: true).client.catalog(include: [])
        #expect(catalog.unreadable.map(\.key) == ["a"])
    }

    @Test(arguments: ["oss://bucket-x/a/b.gguf", "oss://bucket-x/a/", "oss://bucket-x/", "s3://bucket-x/a"])
    func `a location's description is what was written`(text: String) throws {
        let location = try ObjectLocation(parsing: text)
        #expect(location.description == text)
        #expect(try ObjectLocation(parsing: text + (text.hasSuffix("/") ? "" : "/")).isSame(as: location))
    }
}

extension Mutex<[String]> {
    final class Box: Sendable {
        private let texts = Mutex<[String]>([])
        func append(_ text: String) { texts.withLock { $0.append(text) } }
        var all: [String] { texts.withLock { $0 } }
    }
}
