import Foundation
import ObjectStore
import Testing

/// Against a server of others (moto, rclone): `OBJECTSTORE_S3_ENDPOINT` names it, its bucket `bucket-x` holds objects under
/// `models/`, each its own key repeated.
@Suite struct ForeignServerTests {
    private static let endpoint = ProcessInfo.processInfo.environment["OBJECTSTORE_S3_ENDPOINT"]

    @Test(.enabled(if: endpoint != nil))
    func `every listed object has the size of its head and the bytes of its key`() async throws {
        let client = try Fixture.client(
            try #require(Self.endpoint), scheme: "s3", credentials: .fixed(StoreCredentials(keyID: "k", secret: "s")))
        let listing = try await client.list()
        #expect(!listing.objects.isEmpty)
        for object in listing.objects {
            let head = try await client.head(object.key)
            #expect(head.size == object.size && head.etag == object.etag, "\(object.key)")
            guard object.size > 20 else { continue }
            let sink = Collector()
            let range = ObjectRange(key: object.key, etag: object.etag, objectSize: object.size, offset: 3, length: object.size - 7)
            #expect(await client.fetch(range, into: sink).error == nil, "\(object.key)")
            let name = Array(String(object.key.dropFirst("models/".count)).utf8)
            #expect(sink.bytes == (3..<Int(object.size) - 4).map { name[$0 % name.count] }, "\(object.key)")
            var stale = range
            stale.etag = "0123456789abcdef0123456789abcdef"
            #expect(await client.fetch(stale).error?.kind == .objectChanged, "\(object.key)")
        }
        let missing = await #expect(throws: StoreError.self) { try await client.head("models/none") }
        #expect(missing?.kind == .noSuchKey)
        print("ForeignServerTests:", listing.objects.map(\.key), missing.map(\.description) ?? "")
    }
}
