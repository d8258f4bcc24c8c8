/// Applies a fault plan: counts requests per rule and decides. Deterministic for a seed and an order of requests.
package struct FaultInjector: Sendable {
    package let plan: FaultPlan
    private var seen: [Int]
    private var acted: [Int]
    private var random: SplitMix

    package init(_ plan: FaultPlan) {
        self.plan = plan
        seen = Array(repeating: 0, count: plan.rules.count)
        acted = seen
        random = SplitMix(state: plan.seed ?? 0)
    }

    /// How often each rule has acted.
    package var timesActed: [Int] { acted }

    /// The properties of a request that rules match.
    package struct Subject: Sendable {
        package var bucket: String?
        package var key: String?
        package var method: String
        /// The bytes of the object that the response would have; nil where there is no object.
        package var range: Range<Int64>?
        package var ranged: Bool

        package init(bucket: String?, key: String?, method: String, range: Range<Int64>?, ranged: Bool) {
            self.bucket = bucket
            self.key = key
            self.method = method
            self.range = range
            self.ranged = ranged
        }
    }

    /// The action for this request; nil for a correct response.
    package mutating func decide(_ subject: Subject) -> FaultAction? {
        for (index, rule) in plan.rules.enumerated() {
            guard Self.meets(rule, subject) else { continue }
            seen[index] += 1
            if let count = rule.count, acted[index] >= count { continue }
            if let wanted = rule.match?.request, !Self.contains(wanted, Int64(seen[index])) { continue }
            if let probability = rule.match?.probability, random.unit() >= probability { continue }
            acted[index] += 1
            return rule.action
        }
        return nil
    }

    private static func meets(_ rule: FaultRule, _ subject: Subject) -> Bool {
        if let offset = rule.action.flipByte {
            guard subject.method == "GET", let range = subject.range, range.contains(offset) else { return false }
        }
        guard let match = rule.match else { return true }
        if let method = match.method, method.uppercased() != subject.method { return false }
        if let bucket = match.bucket, bucket != subject.bucket { return false }
        if let glob = match.key {
            guard let key = subject.key, Glob.matches(Array(glob.utf8)[...], Array(key.utf8)[...]) else { return false }
        }
        if let ranged = match.ranged, ranged != subject.ranged { return false }
        if let listing = match.listing, listing != (subject.key == nil && subject.bucket != nil) { return false }
        if let text = match.range {
            guard let range = subject.range, !range.isEmpty, let (first, last) = bounds(text) else { return false }
            if range.lowerBound > last || range.upperBound <= first { return false }
        }
        return true
    }

    private static func contains(_ text: String, _ number: Int64) -> Bool {
        guard let (first, last) = text.contains("-") ? bounds(text) : Int64(text).map({ ($0, $0) }) else {
            return false
        }
        return number >= first && number <= last
    }

    private static func bounds(_ text: String) -> (Int64, Int64)? {
        let halves = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, let first = Int64(halves[0]) else { return nil }
        if halves[1].isEmpty { return (first, .max) }
        return Int64(halves[1]).map { (first, $0) }
    }
}

/// `*` matches any number of bytes, slashes too; `?` matches one byte.
package enum Glob {
    package static func matches(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var p = pattern.startIndex, t = text.startIndex
        var star: Int?, mark = t
        while t < text.endIndex {
            if p < pattern.endIndex, pattern[p] == UInt8(ascii: "*") {
                star = p
                mark = t
                p += 1
            } else if p < pattern.endIndex, pattern[p] == UInt8(ascii: "?") || pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let star {
                p = star + 1
                mark += 1
                t = mark
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough for probabilities.
package struct SplitMix: Sendable, RandomNumberGenerator {
    private var state: UInt64

    package init(state: UInt64) { self.state = state }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
}
