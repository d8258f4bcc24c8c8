internal import LinuxShim

/// Bits that any thread may set and clear; in memory only, so a crash clears them.
///
/// `@unchecked Sendable`: the words are accessed atomically and live as long as the object.
final class AtomicBits: @unchecked Sendable {
    private let words: UnsafeMutablePointer<UInt64>

    init(count: Int) {
        let length = max(1, (count + 63) / 64)
        words = .allocate(capacity: length)
        words.initialize(repeating: 0, count: length)
    }

    deinit { words.deallocate() }

    func isSet(_ bit: Int) -> Bool { mc_atomic_load_u64(words + bit / 64) >> UInt64(bit % 64) & 1 == 1 }

    /// Whether this call set it.
    func set(_ bit: Int) -> Bool {
        let mask = UInt64(1) << UInt64(bit % 64)
        return mc_atomic_or_u64(words + bit / 64, mask) & mask == 0
    }

    /// Whether this call cleared it.
    @discardableResult
    func clear(_ bit: Int) -> Bool {
        let mask = UInt64(1) << UInt64(bit % 64)
        return mc_atomic_and_u64(words + bit / 64, ~mask) & mask != 0
    }
}
