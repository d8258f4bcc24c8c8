import Foundation
import Kubernetes
import TestSupport
import Testing

@Suite struct ResourceTests {
    private func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", Int64(0)), ("2000-02-29T23:59:59Z", 951_868_799), ("2026-11-21T08:00:00Z", 1_795_248_000),
        ("2026-11-21T10:00:00.123456789+02:00", 1_795_248_000), ("1969-12-31T23:59:59Z", -1), ("1999-12-31T18:30:00-05:30", 946_684_800),
        ("2016-12-31T23:59:60Z", 1_483_228_799),
    ])
    func `times are read as RFC 3339`(text: String, seconds: Int64) throws {
        #expect(try decode(Timestamp.self, "\"\(text)\"").secondsSinceEpoch == seconds)
    }

    @Test(arguments: [
        "", "2026", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+0200", "2o26-01-01T00:00:00Z",
    ])
    func `what is no time is refused`(text: String) {
        #expect(throws: DecodingError.self) { try decode(Timestamp.self, "\"\(text)\"") }
    }

    @Test func `times are written as the server writes them, and agree with the calendar`() throws {
        #expect(MicroTime(microsecondsSinceEpoch: 1_795_248_000_000_042).description == "2026-11-21T08:00:00.000042Z")
        #expect(MicroTime(microsecondsSinceEpoch: -1).description == "1969-12-31T23:59:59.999999Z")
        let formatter = ISO8601DateFormatter()
        var generator = SeededRandom(seed: SeededRandom.seed)
        for _ in 0..<2_000 {
            let seconds = Int64.random(in: -2_000_000_000...20_000_000_000, using: &generator)
            let time = Timestamp(secondsSinceEpoch: seconds)
            #expect(time.description == formatter.string(from: time.date))
            #expect(try decode(Timestamp.self, "\"\(time)\"") == time)
        }
    }

    @Test func `quantities are amounts`() throws {
        let amounts: [(Quantity, Int64?)] = [
            ("500Mi", 524_288_000), ("1", 1), ("1.5Gi", 1_610_612_736), ("2k", 2_000), ("1e3", 1_000), ("1E", 1_000_000_000_000_000_000),
            ("100m", 1), ("8Ei", 9_223_372_036_854_775_807), ("-3", -3), ("abc", nil), ("", nil), ("5Xi", nil), ("12345678901234567", 12_345_678_901_234_567),
            ("1e-9223372036854775808", nil),
        ]
        for (quantity, value) in amounts { #expect(quantity.value == value, "\(quantity)") }
        #expect(Quantity("2").milliValue == 2_000 && Quantity("250m").milliValue == 250)
        #expect(try decode([Quantity].self, #"["1Ki", 7, 1.5]"#) == ["1Ki", "7", "1.5"])
    }

    @Test func `unknown fields are ignored and null is absent`() throws {
        let pod = try decode(Pod.self, podJSON("p", version: 3))
        #expect(pod.objectKey == ObjectKey(namespace: "ns", name: "p") && pod.resourceVersion == "3")
        let job = try decode(Job.self, #"{"metadata":{"name":"j","labels":null},"spec":{"template":{"metadata":{"creationTimestamp":null},"spec":{"containers":[]}}},"status":{"conditions":[{"type":"Failed","status":"True","reason":"BackoffLimitExceeded"}]}}"#)
        #expect(job.finished?.reason == "BackoffLimitExceeded")
    }

    @Test func `a Secret holds bytes and never shows them`() throws {
        let secret = try decode(Secret.self, #"{"metadata":{"name":"s","namespace":"n"},"data":{"key":"SElEREVO"}}"#)
        #expect(secret.data?["key"]?.text == "HIDDEN")
        var dumped = "\(secret) \(String(reflecting: secret)) \(String(describing: secret.data))"
        dump(secret, to: &dumped)
        dump(secret.data, to: &dumped)
        #expect(!dumped.contains("HIDDEN") && !dumped.contains("72") && dumped.contains("key"))
    }

    @Test func `label selectors match as the server's`() {
        let labels = ["app": "web", "tier": "1"]
        func matches(_ key: String, _ op: String, _ values: [String]? = nil) -> Bool {
            LabelSelector(matchExpressions: [.init(key: key, operator: op, values: values)]).matches(labels)
        }
        #expect(LabelSelector().matches([:]))
        #expect(LabelSelector(matchLabels: ["app": "web"]).matches(labels))
        #expect(!LabelSelector(matchLabels: ["app": "db"]).matches(labels))
        #expect(matches("app", "In", ["web", "db"]) && !matches("none", "In", ["web"]))
        #expect(matches("none", "NotIn", ["web"]) && !matches("app", "NotIn", ["web"]))
        #expect(matches("app", "Exists") && matches("none", "DoesNotExist") && !matches("app", "DoesNotExist"))
        #expect(!matches("app", "Like", ["w"]))
        let selector = LabelSelector(
            matchLabels: ["a": "b"], matchExpressions: [.init(key: "c", operator: "In", values: ["e", "d"]), .init(key: "f", operator: "DoesNotExist")])
        #expect(selector.queryText == "a=b,c in (d,e),!f")
    }
}
