import Foundation

/// SplitMix64 (Steele, Lea, Flood 2014): a random sequence that its seed repeats on every machine.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// The seeds that a random test runs with: the same ones in each run, so that a change which breaks nothing fails
    /// nothing. `MODELCACHE_TEST_SEED` gives another, or a range such as `1000-2000` in which to look for faults.
    ///
    /// Each failure message must carry the seed.
    public static func seeds(_ count: Int) -> [UInt64] {
        guard let text = ProcessInfo.processInfo.environment["MODELCACHE_TEST_SEED"] else {
            return Array(1...UInt64(count))
        }
        let bounds = text.split(separator: "-").compactMap { UInt64($0) }
        guard let first = bounds.first, let last = bounds.last, bounds.count <= 2, first <= last else {
            preconditionFailure("MODELCACHE_TEST_SEED \(text) is neither a whole number nor two with a hyphen")
        }
        return Array(first...last)
    }

    /// The first of ``seeds(_:)``.
    public static var seed: UInt64 { seeds(1)[0] }
}

extension RandomNumberGenerator {
    /// True `numerator` times of `denominator`.
    public mutating func chance(_ numerator: Int, of denominator: Int) -> Bool {
        Int.random(in: 0..<denominator, using: &self) < numerator
    }
}
