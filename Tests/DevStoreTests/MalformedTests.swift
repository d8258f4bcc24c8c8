import DevStore
import Foundation
import TestSupport
import Testing

@Suite struct UnchunkTests {
    @Test func chunksAreJoined() {
        for (text, plain) in [
            ("0\r\n\r\n", ""), ("3\r\nabc\r\n0\r\n\r\n", "abc"), ("3;chunk-signature=ff\r\nabc\r\n0;chunk-signature=ee\r\n\r\n", "abc"),
            ("A\r\n0123456789\r\n1\r\n\r\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "0123456789\r"),
        ] {
            #expect(Upload.unchunk(Data(text.utf8)) == Data(plain.utf8), "\(text)")
        }
    }

    @Test(arguments: [
        "", "3", "3\r\n", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabcd\r\n0\r\n\r\n", "\r\nabc\r\n0\r\n\r\n", "x\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "7fffffffffffffff\r\nabc\r\n", "ffffffffffffffffff\r\nabc\r\n", ";\r\nabc\r\n0\r\n",
        "7ffffffffffffffe\r\nabc\r\n0\r\n\r\n",
    ])
    func whatIsNoChunkingIsRefused(_ text: String) { #expect(Upload.unchunk(Data(text.utf8)) == nil) }

    @Test func randomBodiesSurviveRandomChunks() {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            var plain = Data(), framed = Data()
            for _ in 0..<Int.random(in: 0...5, using: &random) {
                let part = Data((0..<Int.random(in: 1...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
                plain += part
                framed += Data("\(String(part.count, radix: 16));chunk-signature=0\r\n".utf8) + part + Data("\r\n".utf8)
            }
            framed += Data("0\r\n\r\n".utf8)
            #expect(Upload.unchunk(framed) == plain, "seed \(seed)")
            // Cut anywhere before the last chunk's line, it is refused.
            #expect(Upload.unchunk(framed.prefix(Int.random(in: 0..<(framed.count - 2), using: &random))) == nil, "seed \(seed)")
            // A broken byte may be read or refused; it never traps.
            var broken = framed
            broken[Int.random(in: 0..<broken.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = Upload.unchunk(broken)
        }
    }
}

/// Random and mutated text against everything that reads a request.
@Suite struct RequestFuzzTests {
    @Test func noRequestTrapsTheParsersAndRangesStayInside() throws {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        let pieces = [
            "bytes=", "-", "0", "9", "18446744073709551616", ",", " ", "/", "?", "&", "=", "%", "%2", "%41", "%E4%B8", "+", ":", ".", "..",
            "OSS ", "OSS4-HMAC-SHA256 Credential=", "AWS4-HMAC-SHA256 ", "LTAI", "aliyun_v4_request", "aws4_request", "Signature=", "中",
            "\u{0}", "\r\n", "x-oss-signature", "X-Amz-Signature", "OSSAccessKeyId", "Expires", "max-keys", "list-type=2", "[", "]",
            "models", "oss-", "Sat, 21 Nov 2026 05:00:00 GMT", "20261121T050000Z",
        ]
        func text() -> String {
            (0..<Int.random(in: 0...8, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
        }
        let names = ["Host", "Range", "Authorization", "Date", "x-oss-date", "x-amz-date", "x-oss-security-token", "Content-MD5", "If-Match", "If-Modified-Since"]
        let verification = Verification(keys: [AccessKey(id: "LTAI", secret: "s")], region: "r", now: 1_795_237_200)
        for _ in 0..<20_000 {
            let headers = (0..<Int.random(in: 0...4, using: &random)).map { _ in (names.randomElement(using: &random) ?? "", text()) }
            let size = Int64.random(in: 0...20, using: &random)
            for standard in [true, false] {
                if case .part(let part) = ByteRange(header: text(), size: size, standard: standard) {
                    #expect(part.lowerBound >= 0 && part.upperBound <= size && !part.isEmpty, "seed \(seed)")
                }
            }
            guard let request = StoreRequest(method: "GET", target: text(), headers: headers) else { continue }
            _ = Dialect(request: request, fallback: .oss)
            _ = try? ListingRequest(request, dialect: .oss)
            _ = try? Preconditions(request).check(tag: text(), modified: 0)
            guard let address = Address(request: request, baseHosts: ["oss.test"], isBucket: { $0 == "models" }) else { continue }
            // No text of these is a signature: it is refused, or the request carries none.
            #expect((try? verification.verify(request, address: address)).flatMap { $0 } == nil, "seed \(seed)")
        }
    }
}
