import DevStore
import Foundation
import TestSupport
import Testing

@Suite struct FaultInjectorTests {
    func plan(_ json: String) throws -> FaultInjector {
        FaultInjector(try JSONDecoder().decode(FaultPlan.self, from: Data(json.utf8)))
    }

    func subject(_ key: String? = "k", method: String = "GET", range: Range<Int64>? = 0..<100, ranged: Bool = false, bucket: String? = "b") -> FaultInjector.Subject {
        .init(bucket: bucket, key: key, method: method, range: range, ranged: ranged)
    }

    @Test func aCountIsUsedUpAndTheNextRuleFollows() throws {
        var injector = try plan(#"{"rules": [{"action": {"status": 500}, "count": 2}, {"action": {"status": 503}, "count": 1}]}"#)
        #expect((0..<4).map { _ in injector.decide(subject())?.status } == [500, 500, 503, nil])
        #expect(injector.timesActed == [2, 1])
    }

    @Test func requestsAreCountedFromOneAmongThoseThatMatch() throws {
        for (text, hits) in [("2", [2]), ("2-3", [2, 3]), ("4-", [4, 5, 6]), ("x", []), ("3-1", [])] {
            var injector = try plan(#"{"rules": [{"match": {"key": "k*", "request": "\#(text)"}, "action": {"status": 500}}]}"#)
            var acted: [Int] = []
            for number in 1...6 {
                #expect(injector.decide(subject("other")) == nil)
                if injector.decide(subject()) != nil { acted.append(number) }
            }
            #expect(acted == hits, "\(text)")
        }
    }

    @Test func aProbabilityIsRepeatedByItsSeedAndNearItsValue() throws {
        func hits(_ seed: Int) throws -> [Bool] {
            var injector = try plan(#"{"seed": \#(seed), "rules": [{"match": {"probability": 0.25}, "action": {"status": 500}}]}"#)
            return (0..<4000).map { _ in injector.decide(subject()) != nil }
        }
        #expect(try hits(7) == hits(7))
        #expect(try hits(7) != hits(8))
        #expect(abs(try hits(7).count { $0 } - 1000) < 120)
        var never = try plan(#"{"rules": [{"match": {"probability": 0}, "action": {"status": 500}}]}"#)
        var always = try plan(#"{"rules": [{"match": {"probability": 1}, "action": {"status": 500}}]}"#)
        for _ in 0..<100 {
            #expect(never.decide(subject()) == nil)
            #expect(always.decide(subject()) != nil)
        }
    }

    @Test func everyConditionMustHold() throws {
        func acts(_ match: String, _ subject: FaultInjector.Subject) throws -> Bool {
            var injector = try plan(#"{"rules": [{"match": {\#(match)}, "action": {"status": 500}}]}"#)
            return injector.decide(subject) != nil
        }
        #expect(try acts(#""method": "get", "bucket": "b", "key": "?""#, subject()))
        #expect(try !acts(#""method": "HEAD""#, subject()))
        #expect(try !acts(#""bucket": "c""#, subject()))
        #expect(try !acts(#""key": "*""#, subject(nil)))
        #expect(try acts(#""listing": true"#, subject(nil, range: nil)))
        #expect(try !acts(#""listing": true"#, subject()))
        #expect(try !acts(#""ranged": true"#, subject()))
        #expect(try acts(#""ranged": true"#, subject(ranged: true)))
        for (text, meets) in [("99-", true), ("100-", false), ("0-0", true), ("50-60", true), ("x-y", false), ("5", false)] {
            #expect(try acts(#""range": "\#(text)""#, subject()) == meets, "\(text)")
        }
        #expect(try !acts(#""range": "0-""#, subject(range: 5..<5)))
    }

    @Test func aFlippedByteConcernsAnswersThatHoldIt() throws {
        var injector = try plan(#"{"rules": [{"action": {"flipByte": 50}}]}"#)
        #expect(injector.decide(subject(range: 0..<50)) == nil)
        #expect(injector.decide(subject(range: 51..<90)) == nil)
        #expect(injector.decide(subject(method: "HEAD")) == nil)
        #expect(injector.decide(subject(range: 50..<51)) != nil)
    }

    @Test func aPlanGoesThroughJSONUnchanged() throws {
        var action = FaultAction()
        action.status = 503
        action.delayMs = 1.5
        let plan = FaultPlan(seed: 1, rules: [FaultRule(name: "n", match: .init(key: "*"), action: action, count: 3)], bandwidth: 5)
        #expect(try JSONDecoder().decode(FaultPlan.self, from: JSONEncoder().encode(plan)) == plan)
        #expect(try JSONDecoder().decode(FaultPlan.self, from: Data("{}".utf8)) == FaultPlan())
    }

    @Test func aGlobMatchesAsItsDefinitionSays() {
        func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == UInt8(ascii: "*") {
                return matches(pattern.dropFirst(), text) || !text.isEmpty && matches(pattern, text.dropFirst())
            }
            guard let byte = text.first, first == UInt8(ascii: "?") || first == byte else { return false }
            return matches(pattern.dropFirst(), text.dropFirst())
        }
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            let pattern = (0..<Int.random(in: 0...6, using: &random)).map { _ in Array("ab?**".utf8).randomElement(using: &random) ?? 0 }
            let text = (0..<Int.random(in: 0...8, using: &random)).map { _ in Array("ab/".utf8).randomElement(using: &random) ?? 0 }
            #expect(Glob.matches(pattern[...], text[...]) == matches(pattern[...], text[...]), "seed \(seed) \(pattern) \(text)")
        }
    }
}

@Suite struct BandwidthTests {
    /// A sender that waits as told, each timer late by up to 1 ms: what it sends over 3 s.
    @Test(arguments: [1e6, 25e6, 1.25e9]) func aSenderThatWaitsAsToldKeepsTheRate(_ rate: Double) throws {
        let seed = SeededRandom.seed
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        var cap = try #require(Bandwidth(bytesPerSecond: rate))
        var now: Int64 = 1 << 40
        let end = now + 3_000_000_000
        var sent: Int64 = 0
        while now < end {
            let bytes = Int64.random(in: 1...Bandwidth.sendBytes, using: &random)
            let wait = cap.reserve(bytes: bytes, now: now)
            now += wait > 0 ? wait + Int64.random(in: 0...1_000_000, using: &random) : 1000
            sent += bytes
        }
        #expect(abs(Double(sent) / 3 / rate - 1) < 0.05, "seed \(seed): \(sent)")
    }

    @Test func anIdleTimeIsNotCaughtUp() throws {
        var cap = try #require(Bandwidth(bytesPerSecond: 1e6))
        #expect(cap.reserve(bytes: 1000, now: 0) == 0)
        let second = cap.reserve(bytes: 1_000_000, now: 3_600_000_000_000)
        let third = cap.reserve(bytes: 1, now: 3_600_000_000_000)
        #expect(second == 0 && third >= 998_000_000)
    }

    @Test func noRateIsNoCap() {
        #expect(Bandwidth(bytesPerSecond: nil) == nil && Bandwidth(bytesPerSecond: 0) == nil && Bandwidth(bytesPerSecond: -1) == nil)
    }
}
