import DevStore
import TestSupport
import Testing

@Suite struct ListingTests {
    func objects(_ keys: some Sequence<String>) -> [StoredObject] {
        keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.map {
            StoredObject(key: $0, state: FileState(inode: 1, size: 1, modifiedNanoseconds: 0))
        }
    }

    func names(_ page: ListingPage) -> [String] {
        page.entries.map {
            switch $0 {
            case .object(let object): object.key
            case .group(let group): "(\(group))"
            }
        }
    }

    /// The rule itself, on arrays of bytes: every key under the prefix, rolled up at the first delimiter behind it.
    func reference(_ keys: Set<String>, prefix: String, delimiter: String, after: String) -> [String] {
        var out: [String] = []
        let sorted = keys.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        for key in sorted where key.starts(with: prefix.utf8) && Array(after.utf8).lexicographicallyPrecedes(key) {
            var name = String(decoding: key, as: UTF8.self)
            let mark = Array(delimiter.utf8), from = prefix.utf8.count
            if !mark.isEmpty, key.count >= from + mark.count,
                let start = (from...(key.count - mark.count)).first(where: { key[$0...].starts(with: mark) })
            {
                name = "(" + String(decoding: key[..<(start + mark.count)], as: UTF8.self) + ")"
            }
            if out.last != name { out.append(name) }
        }
        return out
    }

    @Test func pagesOfRandomBucketsAddUpToTheReference() {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        let alphabet = ["a", "b", "/", "//", "%", "中", "é", " "]
        func word(_ length: ClosedRange<Int>) -> String {
            (0..<Int.random(in: length, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "" }.joined()
        }
        for _ in 0..<3000 {
            let keys = Set((0..<Int.random(in: 0...30, using: &random)).map { _ in word(1...6) })
            let prefix = Bool.random(using: &random) ? "" : word(0...3)
            let delimiter = ["", "/", "/", "a", "//", "中"].randomElement(using: &random) ?? ""
            let pageSize = Int.random(in: 1...5, using: &random)
            var query = ListingQuery(prefix: prefix, delimiter: delimiter, maxKeys: pageSize)
            var walked: [String] = []
            while true {
                let page = ListingPage(query, objects: objects(keys))
                walked += names(page)
                guard let next = page.next, walked.count <= 100 else { break }
                #expect(page.entries.count == pageSize, "seed \(seed)")
                query.after = next
            }
            let expected = reference(keys, prefix: prefix, delimiter: delimiter, after: "")
            #expect(walked == expected, "seed \(seed), keys \(keys.sorted()), prefix '\(prefix)', delimiter '\(delimiter)', \(pageSize) a page")
        }
    }

    @Test func aStartAfterIsExclusive() {
        let all = objects(["a", "b", "b/c", "c"])
        #expect(names(ListingPage(ListingQuery(after: "b"), objects: all)) == ["b/c", "c"])
        #expect(names(ListingPage(ListingQuery(after: "aa"), objects: all)) == ["b", "b/c", "c"])
        #expect(names(ListingPage(ListingQuery(maxKeys: 0), objects: all)) == [])
    }

    func listing(_ query: String, _ dialect: Dialect = .oss) throws -> ListingRequest {
        let request = try #require(StoreRequest(method: "GET", target: "/?" + query, headers: []))
        return try ListingRequest(request, dialect: dialect)
    }

    @Test func anEmptyContinuationTokenIsNone() throws {
        #expect(try listing("list-type=2&continuation-token=&start-after=x").query.after == "x")
        #expect(throws: StoreError.self) { try listing("list-type=2&continuation-token=!") }
    }

    @Test func theNumberOfKeysHasItsLimits() throws {
        #expect(try listing("").query.maxKeys == 100)
        #expect(try listing("", .s3).query.maxKeys == 1000)
        #expect(try listing("max-keys=5000", .s3).query.maxKeys == 1000)
        for text in ["0", "1001", "-1", "x"] { #expect(throws: StoreError.self) { try listing("max-keys=" + text) } }
        #expect(throws: StoreError.self) { try listing("encoding-type=base64") }
    }

    @Test func aDocumentCodesItsKeysWhenAsked() throws {
        let page = ListingPage(ListingQuery(), objects: objects(["a b/<中>"]))
        let plain = try listing("list-type=2").document(bucket: "m", page: page) { .init($0, entityTag: "E", dialect: .oss) }
        #expect(plain.contains("<Key>a b/&lt;中&gt;</Key>") && plain.contains("<KeyCount>1</KeyCount>"))
        let coded = try listing("list-type=2&encoding-type=url").document(bucket: "m", page: page) { .init($0, entityTag: "E", dialect: .oss) }
        #expect(coded.contains("<Key>a%20b%2F%3C%E4%B8%AD%3E</Key>"))
        let s3 = try listing("encoding-type=url", .s3).document(bucket: "m", page: page) { .init($0, entityTag: "E", dialect: .oss) }
        #expect(s3.contains("<Key>a%20b/%3C%E4%B8%AD%3E</Key>") && s3.contains("<Marker></Marker>"))
    }
}
