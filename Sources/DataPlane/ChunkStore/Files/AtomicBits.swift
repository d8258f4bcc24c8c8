internal import LinuxShim

/// Bits that any thread may set and clear; in memory only, so a crash clears them.
///
/// `@unchecked Sendable`: the words are accessed atomically and live as long as the object.
final class AtomicBits: @unchecked Sendable {
    private let words: UnsafeMutablePointer<UInt64>
    private let count: Int

    init(count: Int) {
        precondition(count >= 0, "a number of bits is not negative")
        self.count = count
        let length = max(1, (count + 63) / 64)
        words = .allocate(capacity: length)
        words.initialize(repeating: 0, count: length)
    }

    deinit { words.deallocate() }

    func isSet(_ bit: Int) -> Bool { mc_atomic_load_u64(word(of: bit)) >> UInt64(bit % 64) & 1 == 1 }

    /// Whether this call set it.
    func set(_ bit: Int) -> Bool {
        let mask = UInt64(1) << UInt64(bit % 64)
        return mc_atomic_or_u64(word(of: bit), mask) & mask == 0
    }

    /// Whether this call cleared it.
    @discardableResult
    func clear(_ bit: Int) -> Bool {
        let mask = UInt64(1) << UInt64(bit % 64)
        return mc_atomic_and_u64(word(of: bit), ~mask) & mask != 0
    }

    private func word(of bit: Int) -> UnsafeMutablePointer<UInt64> {
        precondition(bit >= 0 && bit < count, "there is no such bit, and the memory there is another's")
        return words + bit / 64
    }
}
