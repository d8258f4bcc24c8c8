import ChunkStore
import Models
import Testing

/// Which files of which caches are copied, given checksums, places at the store, owners and states.
@Suite struct DonorChoiceTests {
    private static let sha = String(repeating: "ab", count: 32)

    private struct Object {
        var owner = CacheContents.Owner.namespace("team")
        var endpoint = "https://oss-cn-hangzhou.aliyuncs.com:443"
        var bucket = "models"
        var prefix = "v1/"
        var key = "x.gguf"
        var size: UInt64 = 100
        var etag = "E"
        var checksums = ObjectChecksums(crc64: 7)
        var isVerified = true

        var cache: CacheContents {
            CacheContents(
                owner: owner, identity: SourceIdentity(endpoint: endpoint, bucket: bucket, prefix: prefix),
                files: [ManifestFile(key: key, size: size, etag: etag, checksums: checksums)], verified: isVerified ? [0] : [])
        }

        func with(_ change: (inout Object) -> Void) -> Object {
            var changed = self
            change(&changed)
            return changed
        }
    }

    private func mayTake(_ own: Object, from other: Object) -> Bool {
        !DonorChoice.donors(for: [0], of: own.cache, among: [other.cache]).isEmpty
    }

    private let second = Object().with { $0.prefix = "v2/" }
    private let hashed = Object().with { $0.checksums = ObjectChecksums(sha256: Self.sha) }

    @Test func `an equal object of another version in the same bucket is copied within a namespace`() {
        #expect(mayTake(second, from: Object()))
        #expect(mayTake(second.with { $0.key = "renamed.gguf" }, from: Object()))
        #expect(mayTake(second.with { $0.owner = .agent }, from: Object().with { $0.owner = .agent }))
    }

    @Test func `a CRC-64 that anybody can make counts only with the tag and the bucket of the store`() {
        #expect(!mayTake(second.with { $0.etag = "F" }, from: Object()))
        #expect(!mayTake(second.with { $0.etag = "" }, from: Object().with { $0.etag = "" }))
        #expect(!mayTake(second.with { $0.bucket = "mine" }, from: Object()))
        #expect(!mayTake(second.with { $0.endpoint = "http://10.0.0.1:80" }, from: Object()))
        #expect(!mayTake(second.with { $0.checksums = ObjectChecksums(crc64: 8) }, from: Object()))
        #expect(!mayTake(second.with { $0.size = 101 }, from: Object()))
    }

    @Test func `bytes of another namespace are never taken, not even of the same object`() {
        // Its readers may not have them, and its pods may have changed them.
        for object in [Object(), hashed] {
            #expect(mayTake(object, from: object))
            #expect(!mayTake(object.with { $0.owner = .namespace("other") }, from: object))
            #expect(!mayTake(object.with { $0.owner = .agent }, from: object))
        }
    }

    @Test func `every other checksum is weak`() {
        for weak in [ObjectChecksums(crc64nvme: 1), .init(sha1: "aa"), .init(crc32: 1), .init(md5: "aa"), .init(parts: .init(kind: .sha1, digest: "aa", sizes: [100]))] {
            let object = Object().with { $0.checksums = weak }
            #expect(mayTake(object.with { $0.prefix = "v2/" }, from: object), "\(weak)")
            #expect(!mayTake(object.with { $0.bucket = "mirror" }, from: object), "\(weak)")
            #expect(!mayTake(object.with { $0.etag = "F" }, from: object), "\(weak)")
        }
    }

    @Test func `a SHA-256 is enough within a namespace, whatever the stores, and not among users of one agent`() {
        let elsewhere = hashed.with { $0.endpoint = "https://s3.example:443"; $0.bucket = "mirror"; $0.etag = "F" }
        #expect(mayTake(elsewhere, from: hashed))
        // A store of one's own can claim it.
        let named = hashed.with { $0.owner = .agent }
        #expect(!mayTake(elsewhere.with { $0.owner = .agent }, from: named))
        #expect(!mayTake(named.with { $0.etag = "F" }, from: named) && mayTake(named.with { $0.prefix = "v2/" }, from: named))
        let parts = hashed.with { $0.checksums = .init(parts: .init(kind: .sha256, digest: Self.sha, sizes: [60, 40])) }
        #expect(mayTake(parts.with { $0.bucket = "mirror" }, from: parts))
        #expect(!mayTake(parts.with { $0.bucket = "mirror"; $0.checksums = .init(parts: .init(kind: .sha256, digest: Self.sha, sizes: [50, 50])) }, from: parts))
    }

    @Test func `the checksum by which the file is verified is the one that must be strong`() {
        // A store that offers both has its files verified by the CRC: its SHA-256 is a claim that nobody checks.
        let both = hashed.with { $0.checksums.crc64 = 7 }
        #expect(!mayTake(both.with { $0.bucket = "mirror" }, from: both))
    }

    @Test func `only complete verified files give, and only described objects take`() {
        #expect(!mayTake(second, from: Object().with { $0.isVerified = false }))
        let nothing = ObjectChecksums()
        #expect(!mayTake(second.with { $0.checksums = nothing }, from: Object().with { $0.checksums = nothing }))
        let empty = Object().with { $0.size = 0 }
        #expect(!mayTake(empty, from: empty))
    }

    @Test func `each file gets the first cache in the order of preference`() {
        func cache(_ prefix: String, _ keys: [(String, UInt64)], verified: Set<Int>) -> CacheContents {
            CacheContents(
                owner: .agent, identity: SourceIdentity(endpoint: "e", bucket: "b", prefix: prefix),
                files: keys.map { ManifestFile(key: $0.0, size: 5, etag: "E\($0.1)", checksums: .init(crc64: $0.1)) }, verified: verified)
        }
        let own = cache("new/", [("a", 1), ("b", 2), ("c", 3), ("d", 4)], verified: [])
        let first = cache("old/", [("a", 1), ("b", 9)], verified: [0, 1])
        let other = cache("older/", [("a", 1), ("b", 2), ("c", 3)], verified: [0, 1])
        let chosen = DonorChoice.donors(for: [0, 1, 2, 3], of: own, among: [first, other])
        #expect(chosen.mapValues { [$0.cache, $0.file] } == [0: [0, 0], 1: [1, 1]])
        #expect(DonorChoice.donors(for: [2, 3], of: own, among: [first, other]).isEmpty)
    }
}
