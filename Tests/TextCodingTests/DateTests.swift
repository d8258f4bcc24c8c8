import TestSupport
import Testing
import TextCoding

@Suite struct DateTests {
    @Test func `a moment has the spellings of HTTP, of the signatures and of RFC 3339`() {
        let time = UTCTime(seconds: 784_111_777)
        #expect(time.httpDate == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(time.basic == "19941106T084937Z" && time.basicDay == "19941106")
        #expect(RFC3339.text(secondsSinceEpoch: 784_111_777) == "1994-11-06T08:49:37Z")
        #expect(RFC3339.text(secondsSinceEpoch: -1, microseconds: 7) == "1969-12-31T23:59:59.000007Z")
        #expect(UTCTime(seconds: -1).httpDate == "Wed, 31 Dec 1969 23:59:59 GMT")
    }

    @Test(arguments: SeededRandom.seeds(3)) func `each spelling is read back`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<1000 {
            let seconds = Int64.random(in: -11_000_000_000...250_000_000_000, using: &random)
            #expect(UTCTime(httpDate: UTCTime(seconds: seconds).httpDate)?.seconds == seconds, "seed \(seed)")
            #expect(UTCTime(iso8601: RFC3339.text(secondsSinceEpoch: seconds))?.seconds == seconds, "seed \(seed)")
        }
    }

    @Test func `an offset and a fraction are understood, and what is no time is not`() {
        #expect(UTCTime(iso8601: "2026-11-21T05:43:40.999Z")?.seconds == 1_795_239_820)
        #expect(UTCTime(iso8601: "2026-11-21T13:43:40+08:00")?.seconds == 1_795_239_820)
        for text in ["", "2026-11-21", "2026-02-30T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T05:43:40", "2026-11-21T05:43:40Zx"] {
            #expect(UTCTime(iso8601: text) == nil, "\(text)")
        }
        for text in ["Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994", "Sun, 06 Nix 1994 08:49:37 GMT", "Sun, 06 Nov 1994 8:49 GMT"] {
            #expect(UTCTime(httpDate: text) == nil, "\(text)")
        }
    }
}

@Suite struct PrometheusTextTests {
    @Test func `a sample is one line whatever its label holds`() {
        let labels = PrometheusText.labels([("a", "\"\\\r\n"), ("b", "1")])
        #expect(PrometheusText.sample("m", labels, 1.5) == "m{a=\"\\\"\\\\\r\\n\",b=\"1\"} 1.5\n")
        #expect(PrometheusText.sample("m", "", 2) == "m 2\n")
        #expect(PrometheusText.head("m", type: "gauge", help: "a\nb") == "# HELP m a\\nb\n# TYPE m gauge\n")
    }

    @Test func `numbers are written as Prometheus reads them`() {
        #expect([Double.nan, .infinity, -.infinity, 3, 1e20].map(PrometheusText.number) == ["NaN", "+Inf", "-Inf", "3", "1e+20"])
    }
}
