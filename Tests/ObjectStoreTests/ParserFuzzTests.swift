import Foundation
import ObjectStore
import RangeTransfer
import TestSupport
import Testing

/// The parsers of what a store sends, on random and on damaged input.
@Suite struct ParserFuzzTests {
    private let seed = SeededRandom.seed
    private static let rounds = 20_000

    /// Bytes changed, dropped, doubled or swapped for pieces that mean something.
    private func damaged(_ text: String, _ pieces: [String], _ generator: inout SeededRandom) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
            let at = Int.random(in: 0...bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0 where at < bytes.count: bytes[at] = UInt8.random(in: 0...255, using: &generator)
            case 1 where at < bytes.count: bytes.removeSubrange(at..<min(at + Int.random(in: 1...8, using: &generator), bytes.count))
            case 2: bytes.insert(contentsOf: Array(pieces.randomElement(using: &generator)!.utf8), at: at)
            default: bytes.insert(contentsOf: bytes[..<at].suffix(20), at: at)
            }
        }
        return bytes
    }

    @Test func `damaged listings are refused or stay within their rules`() throws {
        var generator = SeededRandom(seed: seed)
        let good = """
            <?xml version="1.0"?><!-- a --><ListBucketResult xmlns="http://x/"><Name>b</Name><Prefix>m/</Prefix><EncodingType>url</EncodingType>\
            <IsTruncated>true</IsTruncated><NextContinuationToken>abc=</NextContinuationToken><Contents><Key>m/a%20b%2B%E6%A8%A1</Key>\
            <Size>12345678901</Size><ETag>&quot;00ff&quot;</ETag><LastModified>2026-11-21T05:43:40.000Z</LastModified></Contents>\
            <Contents><Key>m/d/</Key><Size>0</Size><ETag>"x"</ETag></Contents></ListBucketResult>
            """
        let whole = try ListPage.parse(Array(good.utf8), prefix: "m/", scheme: .oss)
        #expect(whole.objects == [StoredObject(key: "m/a b+模", size: 12_345_678_901, etag: "00ff", lastModified: 1_795_239_820)])
        #expect(whole.directories == ["m/d/"] && whole.next == "abc=")
        let pieces = ["<", ">", "&", ";", "&#x0;", "&#xD800;", "&#10;", "</", "/>", "<!--", "<![CDATA[", "<!DOCTYPE a>", "<?", "%", "%00", "-1", "\"", "\u{feff}"]
        for round in 0..<Self.rounds {
            let bytes = damaged(good, pieces, &generator)
            guard let page = try? ListPage.parse(bytes, prefix: "m/", scheme: .oss) else { continue }
            for object in page.objects where !object.key.hasPrefix("m/") || !HeaderText.isEntityTag(object.etag) {
                Issue.record("seed \(seed) round \(round): \(object)")
            }
        }
    }

    @Test func `random bytes and deep nesting never trap the XML reader`() {
        var generator = SeededRandom(seed: seed)
        let alphabet = Array("<>/&;#x?!-:= aB0\"'\r\n\u{0}".utf8) + [0xff, 0xc3, 0xe6]
        for _ in 0..<Self.rounds {
            let bytes = (0..<Int.random(in: 0...60, using: &generator)).map { _ in alphabet.randomElement(using: &generator)! }
            _ = AnswerXML.parse(bytes)
        }
        let depth = AnswerXML.maximumDepth
        func nested(_ count: Int) -> [UInt8] {
            Array((String(repeating: "<a>", count: count) + String(repeating: "</a>", count: count)).utf8)
        }
        #expect(AnswerXML.parse(nested(depth)) != nil)
        #expect(AnswerXML.parse(nested(depth + 1)) == nil)
        #expect(AnswerXML.parse(Array(String(repeating: "<a>", count: 1_000_000).utf8)) == nil)
        #expect(AnswerXML.parse(Array("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".utf8)) == nil)
    }

    @Test func `a Content-Range is read exactly or not at all`() {
        var generator = SeededRandom(seed: seed)
        func range(_ text: String) -> (first: UInt64, last: UInt64, total: UInt64)? {
            var head = ResponseHead()
            guard head.consume(line: "HTTP/1.1 206 OK"), head.consume(line: "Content-Range: \(text)") else { return nil }
            return head.contentRange
        }
        for round in 0..<Self.rounds {
            let first = UInt64.random(in: 0...UInt64.max - 2, using: &generator) >> UInt64.random(in: 0...60, using: &generator)
            let last = UInt64.random(in: first...UInt64.max - 1, using: &generator)
            let total = UInt64.random(in: last...UInt64.max - 1, using: &generator) + 1
            let text = "bytes \(first)-\(last)/\(total)"
            guard let got = range(text), got == (first, last, total) else {
                Issue.record("seed \(seed) round \(round): \(text)")
                continue
            }
            let bytes = damaged(text, ["-", "/", "*", " ", "0", "bytes ", "99999999999999999999", "\t"], &generator)
            let broken = String(decoding: bytes, as: UTF8.self)
            if let other = range(broken), !(other.first <= other.last && other.last < other.total) {
                Issue.record("seed \(seed) round \(round): \(broken)")
            }
        }
        for text in ["bytes 0-0/0", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "bytes 0-1/*", "bytes 0-1", "Bytes 0-1/2", "bytes 0-1/2/3", "bytes -1/2", "bytes 0-18446744073709551616/18446744073709551617"] {
            #expect(range(text) == nil, "\(text)")
        }
    }

    @Test func `damaged answer heads are refused or hold no control character`() {
        var generator = SeededRandom(seed: seed)
        let lines = [
            "HTTP/1.1 100 Continue", "HTTP/1.1 206 Partial Content", "Content-Length: 10", "ETag: \"ab\"", "Content-Range: bytes 0-9/10",
            "Date: Sat, 21 Nov 2026 06:00:00 GMT", "Retry-After: Sat, 21 Nov 2026 06:00:07 GMT", "x-oss-qos-delay-time: 12",
        ]
        for round in 0..<Self.rounds {
            var head = ResponseHead()
            for _ in 0..<6 {
                let bytes = damaged(lines.randomElement(using: &generator)!, [":", "\r", "\n", "\u{0}", " ", "HTTP/", "999", "-", "9999999999999999999999"], &generator)
                guard head.consume(line: String(decoding: bytes, as: UTF8.self)) else { break }
                _ = (head.contentLength, head.contentRange, head.entityTag)
                if let wait = head.storeDelay, wait < .zero || wait > .seconds(3600) {
                    Issue.record("seed \(seed) round \(round): \(wait)")
                }
                if let tag = head.entityTag, tag.utf8.contains(where: { $0 < 0x20 && $0 != 9 }) {
                    Issue.record("seed \(seed) round \(round): \(tag)")
                }
            }
        }
    }

    @Test func `damaged credentials files are refused or hold a key pair that can be sent`() {
        var generator = SeededRandom(seed: seed)
        let shapes = [
            "export OSS_ACCESS_KEY_ID='id'\nOSS_ACCESS_KEY_SECRET=\"s\"\r\nOSS_CREDENTIALS_EXPIRATION=2026-11-21T06:00:00Z\n",
            "{\"AccessKeyId\":\"id\",\"AccessKeySecret\":\"s\",\"Expiration\":\"2026-11-21T06:00:00Z\"}",
        ]
        for round in 0..<Self.rounds {
            let bytes = damaged(shapes.randomElement(using: &generator)!, ["=", "'", "\"", "\n", "\\u000a", "\u{0}", "export ", "{", "#"], &generator)
            guard let read = try? CredentialsFile.parse(bytes) else { continue }
            if read.keyID.isEmpty || read.secret.isEmpty || !HeaderText.isSafe(read.keyID + read.secret + (read.token ?? "")) {
                Issue.record("seed \(seed) round \(round)")
            }
        }
    }
}
