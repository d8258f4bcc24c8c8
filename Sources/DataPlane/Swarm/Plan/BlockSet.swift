/// A set of block numbers, one bit each.
public struct BlockSet: Sendable, Equatable {
    public private(set) var words: [UInt64]
    /// Numbers are 0..<capacity; others are never members and are ignored on insertion.
    public let capacity: Int
    public private(set) var count = 0

    public init(capacity: Int) {
        self.capacity = max(0, capacity)
        words = Array(repeating: 0, count: (self.capacity + 63) / 64)
    }

    public static func full(_ capacity: Int) -> BlockSet {
        var set = BlockSet(capacity: capacity)
        for index in set.words.indices { set.words[index] = .max }
        if capacity % 64 != 0, let last = set.words.indices.last { set.words[last] = (1 << UInt64(capacity % 64)) - 1 }
        set.count = set.capacity
        return set
    }

    /// From words as ``words`` gives them. Missing words are zero; bits past the capacity are dropped.
    public init(capacity: Int, words source: some Sequence<UInt64>) {
        self.init(capacity: capacity)
        for (index, word) in source.enumerated() where index < words.count { words[index] = word }
        if capacity % 64 != 0, let last = words.indices.last { words[last] &= (1 << UInt64(capacity % 64)) - 1 }
        count = words.reduce(0) { $0 + $1.nonzeroBitCount }
    }

    public var isFull: Bool { count == capacity }
    public var isEmpty: Bool { count == 0 }

    @inline(__always)
    public func contains(_ block: Int) -> Bool {
        guard block >= 0, block < capacity else { return false }
        return words[block &>> 6] & (1 &<< UInt64(block & 63)) != 0
    }

    /// Returns whether the block was not a member before.
    @discardableResult @inline(__always)
    public mutating func insert(_ block: Int) -> Bool {
        guard block >= 0, block < capacity, !contains(block) else { return false }
        words[block &>> 6] |= 1 &<< UInt64(block & 63)
        count += 1
        return true
    }

    /// Returns whether the block was a member.
    @discardableResult @inline(__always)
    public mutating func remove(_ block: Int) -> Bool {
        guard contains(block) else { return false }
        words[block &>> 6] &= ~(1 &<< UInt64(block & 63))
        count -= 1
        return true
    }

    /// Both must have the same capacity.
    func isDisjoint(with other: BlockSet) -> Bool {
        for index in words.indices where words[index] & other.words[index] != 0 { return false }
        return true
    }

    /// Members, ascending.
    public func forEach(_ body: (Int) -> Void) {
        for index in words.indices {
            var word = words[index]
            while word != 0 {
                body(index * 64 + word.trailingZeroBitCount)
                word &= word &- 1
            }
        }
    }

    /// The first member from `start` on, then from 0 on; nil if there is none.
    public func member(from start: Int) -> Int? {
        guard count > 0, start >= 0, start < capacity else { return nil }
        var index = start >> 6
        var word = words[index] & (UInt64.max << UInt64(start & 63))
        while word == 0 {
            index = index + 1 == words.count ? 0 : index + 1
            word = words[index]
        }
        return index * 64 + word.trailingZeroBitCount
    }

    /// The first number from `start` on that is not a member; the capacity if there is none.
    public func firstMissing(from start: Int) -> Int {
        guard start < capacity else { return capacity }
        var index = start >> 6
        var word = ~words[index] & (UInt64.max << UInt64(start & 63))
        while word == 0 {
            index += 1
            guard index < words.count else { return capacity }
            word = ~words[index]
        }
        return min(capacity, index * 64 + word.trailingZeroBitCount)
    }
}
