import AgentAPI
import TestSupport
import Testing

@Suite struct RequestSignatureTests {
    let secret = AuthSecret(contents: "a-secret-of-the-test\n")!
    let request = RequestSignature.Request(method: "PUT", target: "/v1/caches/x?force=true", node: "node-1", body: Array("{}".utf8))

    @Test func theHeaderIsTheOneThatOtherProgramsCompute() {
        // printf 'PUT\n/v1/caches/x?force=true\n1700000000\nnode-1\n%s' $(printf '{}' | sha256sum | cut -c1-64) |
        //     openssl dgst -sha256 -hmac a-secret-of-the-test
        #expect(
            RequestSignature.authorization(for: request, secret: secret, now: 1_700_000_000)
                == "MODELCACHE-HMAC-SHA256 Timestamp=1700000000, Signature=fabfef0e387774a02c9b121dd8fa6fa95897d28199aa4e5a39b7cbca7fc43e09")
    }

    @Test func whatIsSignedIsAcceptedForFiveMinutesEitherWay() {
        let header = RequestSignature.authorization(for: request, secret: secret, now: 1000)
        func verdict(_ now: Int64) -> RequestSignature.Verdict {
            RequestSignature.verify(authorization: header, request: request, secret: secret, now: now)
        }
        #expect(verdict(1000) == .accepted && verdict(700) == .accepted && verdict(1300) == .accepted)
        #expect(verdict(1301) == .skewed(seconds: -301) && verdict(699) == .skewed(seconds: 301))
        #expect(verdict(.min) == .refused, "no trap at the ends of the clock")
    }

    @Test func anyChangeIsRefusedWithoutAWordOnTheClock() {
        let header = RequestSignature.authorization(for: request, secret: secret, now: 1000)
        let changes: [(inout RequestSignature.Request) -> Void] = [
            { $0.method = "DELETE" }, { $0.target = "/v1/caches/x" }, { $0.node = "node-2" }, { $0.body = [] },
        ]
        for change in changes {
            var changed = request
            change(&changed)
            for now: Int64 in [1000, 9000] {
                #expect(RequestSignature.verify(authorization: header, request: changed, secret: secret, now: now) == .refused)
            }
        }
        let other = AuthSecret(contents: "another-secret-of-the-test")!
        #expect(RequestSignature.verify(authorization: header, request: request, secret: other, now: 1000) == .refused)
        #expect(RequestSignature.verify(authorization: nil, request: request, secret: secret, now: 1000) == .refused)
    }

    @Test func everyLineOfTheSecretVerifiesAndTheFirstSigns() {
        let both = AuthSecret(contents: "a-newer-secret-of-the-test\r\n  a-secret-of-the-test  \nshort\n")!
        #expect(both.keys.count == 2)
        let old = RequestSignature.authorization(for: request, secret: secret, now: 5)
        #expect(RequestSignature.verify(authorization: old, request: request, secret: both, now: 5) == .accepted)
        let new = RequestSignature.authorization(for: request, secret: both, now: 5)
        #expect(RequestSignature.verify(authorization: new, request: request, secret: secret, now: 5) == .refused)
        #expect(AuthSecret(contents: "") == nil && AuthSecret(contents: "short\n\n") == nil)
        #expect(!"\(both) \(String(reflecting: both))".contains("newer"))
    }

    @Test func malformedHeadersAreRefused() {
        let seed = SeededRandom.seed
        var random = SeededRandom(seed: seed)
        func next(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }
        let good = RequestSignature.authorization(for: request, secret: secret, now: 1000)
        for _ in 0..<5000 {
            var bytes = Array(good.utf8)
            for _ in 0...next(3) {
                switch next(3) {
                case 0 where !bytes.isEmpty: bytes.remove(at: next(bytes.count))
                case 1: bytes.insert(UInt8(next(256)), at: next(bytes.count + 1))
                default: if !bytes.isEmpty { bytes[next(bytes.count)] = UInt8(next(256)) }
                }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let verdict = RequestSignature.verify(authorization: text, request: request, secret: secret, now: 1000)
            // White space after a comma may come and go.
            #expect(verdict == .refused || text.filter { $0 != " " } == good.filter { $0 != " " }, "seed \(seed): \(text)")
        }
        for text in ["", "MODELCACHE-HMAC-SHA256", good + ", Timestamp=1000", good + String(repeating: " ", count: 1000)] {
            #expect(RequestSignature.verify(authorization: text, request: request, secret: secret, now: 1000) == .refused)
        }
    }

    @Test func onlyTheTextFormOfAUIDNamesACache() {
        #expect(CachePath.isUID("0b1e2d3c-0000-4444-8888-abcdefabcdef"))
        for text in ["", "..", "0B1E2D3C-0000-4444-8888-ABCDEFABCDEF", "0b1e2d3c-0000-4444-8888-abcdefabcde", "0b1e2d3c-0000-4444-8888-abcdefabcde/",
            "0b1e2d3c-0000-4444-8888-abcdefabcdeé", String(repeating: "-", count: 36), String(repeating: ".", count: 36)] {
            #expect(!CachePath.isUID(text), "\(text)")
        }
        #expect(CachePath.cache("u", force: true) == "/v1/caches/u?force=true")
    }
}
