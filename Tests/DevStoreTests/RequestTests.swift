import DevStore
import Testing
import TextCoding

@Suite struct ByteRangeTests {
    /// Header, size, what OSS gives by default, what RFC 9110 gives. From OSS's GetObject page and RFC 9110, 14.1.2.
    static let table: [(String?, Int64, ByteRange, ByteRange)] = [
        (nil, 10, .whole, .whole),
        ("bytes=0-0", 10, .part(0..<1), .part(0..<1)),
        ("bytes=2-4", 10, .part(2..<5), .part(2..<5)),
        ("bytes=0-9", 10, .part(0..<10), .part(0..<10)),
        ("bytes=9-9", 10, .part(9..<10), .part(9..<10)),
        ("bytes=0-10", 10, .whole, .part(0..<10)),
        ("bytes=5-99", 10, .whole, .part(5..<10)),
        ("bytes=10-", 10, .whole, .unsatisfiable),
        ("bytes=10-20", 10, .whole, .unsatisfiable),
        ("bytes=3-", 10, .part(3..<10), .part(3..<10)),
        ("bytes=-3", 10, .part(7..<10), .part(7..<10)),
        ("bytes=-10", 10, .part(0..<10), .part(0..<10)),
        ("bytes=-11", 10, .whole, .part(0..<10)),
        ("bytes=-0", 10, .whole, .unsatisfiable),
        ("bytes=-5", 0, .whole, .unsatisfiable),
        ("bytes=0-", 0, .whole, .unsatisfiable),
        ("bytes=5-4", 10, .whole, .whole),
        ("bytes=-", 10, .whole, .whole),
        ("bytes=", 10, .whole, .whole),
        ("bytes=a-b", 10, .whole, .whole),
        ("bytes=1-2,4-5", 10, .whole, .whole),
        ("bytes=+1-2", 10, .whole, .whole),
        ("bytes=--1", 10, .whole, .whole),
        ("bytes= 1-2", 10, .whole, .whole),
        ("items=1-2", 10, .whole, .whole),
        ("bytes=99999999999999999999-", 10, .whole, .whole),
        ("bytes=4294967296-4294967299", 5_368_709_120, .part(4_294_967_296..<4_294_967_300), .part(4_294_967_296..<4_294_967_300)),
        ("bytes=0-9223372036854775807", 10, .whole, .part(0..<10)),
        ("bytes=-9223372036854775807", 10, .whole, .part(0..<10)),
    ]

    @Test func aRangeGivesWhatTheDocumentsSay() {
        for (header, size, oss, standard) in Self.table {
            #expect(ByteRange(header: header, size: size, standard: false) == oss, "\(header ?? "none") of \(size)")
            #expect(ByteRange(header: header, size: size, standard: true) == standard, "\(header ?? "none") of \(size)")
        }
    }
}

@Suite struct CodingTests {
    @Test func everyTextSurvivesPercentCoding() {
        for text in ["", "plain-._~", "a b+c%41", "中文/模型", "🦙", "\u{0}\n\t", "?&=#;:@,$!*'()"] {
            for keepingSlash in [true, false] {
                let coded = PercentCoding.encode(text, keepingSlash: keepingSlash)
                #expect(PercentCoding.decode(coded, plusIsSpace: true) == text)
                #expect(coded.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "+") })
                #expect(keepingSlash || !coded.contains("/"))
            }
        }
        #expect(PercentCoding.encode("ä/b c", keepingSlash: true) == "%C3%A4/b%20c")
        #expect(PercentCoding.decode("a+b%2B", plusIsSpace: true) == "a b+")
        #expect(PercentCoding.decode("a+b%2B", plusIsSpace: false) == "a+b+")
    }

    @Test(arguments: ["%", "%2", "%zz", "%2g", "%ff", "%C3", "a%C3%28", "%+1"])
    func brokenEscapesAreRefused(_ text: String) {
        #expect(PercentCoding.decode(text, plusIsSpace: true) == nil)
    }

    @Test func xmlHidesWhatItMustNotHold() {
        #expect(XMLDocument.escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&apos;")
        #expect(XMLDocument.escape("\t\n\r") == "&#9;&#10;&#13;")
        #expect(XMLDocument.escape("\u{1}x\u{FFFE}") == "\u{FFFD}x\u{FFFD}")
        #expect(XMLDocument.escape("中文🦙") == "中文🦙")
        #expect(XMLDocument.escape("]]>") == "]]&gt;")
        // One grapheme of two scalars: neither may swallow the other's escape.
        #expect(XMLDocument.escape("&\u{301}") == "&amp;\u{301}")
    }

    @Test func datesGoThereAndBack() {
        #expect(HTTPDate.rfc1123(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(HTTPDate.iso8601(784_111_777) == "1994-11-06T08:49:37.000Z")
        for seconds in [0, 1, 951_782_400, 1_795_237_200, 4_102_444_799] as [Int64] {
            #expect(HTTPDate.parseRFC1123(HTTPDate.rfc1123(seconds)) == seconds)
            let basic = HTTPDate.iso8601(seconds).filter { $0 != "-" && $0 != ":" }.replacing(".000", with: "")
            #expect(HTTPDate.parseBasic(basic) == seconds)
        }
        #expect(HTTPDate.parseRFC1123("Sat, 21 Nov 2026 05:00:00 -0000") == 1_795_237_200)
        #expect(HTTPDate.parseExpiry("1795237200") == 1_795_237_200)
        #expect(HTTPDate.parseExpiry("2026-11-21T05:00:00Z") == 1_795_237_200)
        for text in ["", "now", "Sat, 21 Xyz 2026 05:00:00 GMT", "Sat, 21 Nov 2026 05:00 GMT", "Sat 21"] {
            #expect(HTTPDate.parseRFC1123(text) == nil)
        }
        for text in ["", "20261121T050000", "20261121 050000Z", "2026-11-21T05:00Z", "20261121T05000éZ"] {
            #expect(HTTPDate.parseBasic(text) == nil)
        }
    }

    @Test func ratesAreReadInTheirUnits() {
        for (text, rate) in [("100MB", 1e8), ("64KiB", 65_536), ("1.5GB", 1.5e9), ("800Mbit", 1e8), ("5", 5), ("10mb/s", 1e7), ("0", 0)] {
            #expect(Bandwidth.parse(text) == rate, "\(text)")
        }
        for text in ["", "MB", "10 MB", "-5", "5XB", "1.2.3"] { #expect(Bandwidth.parse(text) == nil, "\(text)") }
    }
}

@Suite struct AddressTests {
    func address(_ target: String, host: String, bases: [String] = []) -> Address? {
        guard let request = StoreRequest(method: "GET", target: target, headers: [("Host", host)]) else { return nil }
        return Address(request: request, baseHosts: bases) { $0 == "models" }
    }

    @Test func theBucketIsInThePathOfAnAddressAndInTheNameOfAHost() {
        let base = ["oss.test"]
        for (target, host, bases, bucket, key, virtual) in [
            ("/models/a%20b/c", "127.0.0.1:9000", base, "models", "a b/c", false),
            ("/models/a", "[::1]:9000", base, "models", "a", false),
            ("/models/a", "localhost:9000", [], "models", "a", false),
            ("/models", "127.0.0.1", [], "models", nil, false),
            ("/models/", "127.0.0.1", [], "models", nil, false),
            ("/", "127.0.0.1", [], nil, nil, false),
            ("/models/a", "oss.test:80", base, "models", "a", false),
            ("/models/a", "models.oss.test", base, "models", "models/a", true),
            ("/", "Models.OSS.test", base, "models", nil, true),
            ("/a//b", "x.y.oss.test", base, "x.y", "a//b", true),
            ("/models/a", "oss-cn-hangzhou.example.com", [], "models", "a", false),
            ("/a", "models.oss-cn-hangzhou.example.com", [], "models", "a", true),
            ("/a", "missing.example.com", [], "missing", "a", true),
            ("/models/a", "store.example.com", [], "models", "a", false),
            ("/%E4%B8%AD", "models.oss.test", base, "models", "中", true),
        ] as [(String, String, [String], String?, String?, Bool)] {
            let found = address(target, host: host, bases: bases)
            #expect(found?.bucket == bucket && found?.key == key && found?.virtualHost == virtual, "\(target) at \(host)")
        }
        #expect(address("/%zz", host: "a") == nil)
    }

    @Test func aDialectIsKnownByItsSignatureThenItsHeaders() {
        func dialect(_ target: String, _ headers: [(String, String)]) -> Dialect? {
            StoreRequest(method: "GET", target: target, headers: headers).map { Dialect(request: $0, fallback: .oss) }
        }
        #expect(dialect("/", []) == .oss)
        #expect(dialect("/", [("Authorization", "AWS4-HMAC-SHA256 x"), ("x-oss-date", "x")]) == .s3)
        #expect(dialect("/", [("Authorization", "OSS a:b"), ("x-amz-date", "x")]) == .oss)
        #expect(dialect("/?X-Amz-Signature=x", []) == .s3)
        #expect(dialect("/", [("X-Amz-Date", "x")]) == .s3)
    }
}
