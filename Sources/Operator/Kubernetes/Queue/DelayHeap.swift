internal import HeapModule

/// Keys that are due later, the earliest first. Each key is in it once: adding it again keeps the earlier time.
package struct DelayHeap<Key: Hashable & Sendable, Time: Comparable & Sendable>: Sendable {
    private struct Entry: Comparable, Sendable {
        let due: Time
        /// Of no two entries.
        let order: UInt64
        let key: Key
        static func < (a: Entry, b: Entry) -> Bool { (a.due, a.order) < (b.due, b.order) }
        static func == (a: Entry, b: Entry) -> Bool { a.order == b.order }
    }

    /// An entry whose order is not its key's current one is obsolete and is skipped.
    private var heap = Heap<Entry>()
    private var current: [Key: (due: Time, order: UInt64)] = [:]
    private var orders: UInt64 = 0

    package init() {}

    package var count: Int { current.count }
    /// No later than the time of the earliest key; nil: there is none.
    package var nextDue: Time? { heap.min?.due }

    package mutating func insert(_ key: Key, due: Time) {
        if let known = current[key], known.due <= due { return }
        orders += 1
        current[key] = (due, orders)
        heap.insert(Entry(due: due, order: orders, key: key))
    }

    /// Removes and returns the keys that are due, in the order of their times.
    package mutating func popDue(_ now: Time) -> [Key] {
        var keys: [Key] = []
        while let key = popFirst(now) { keys.append(key) }
        return keys
    }

    /// Removes and returns the first key that is due; nil: none is.
    package mutating func popFirst(_ now: Time) -> Key? {
        while let first = heap.min, isSuperseded(first) || first.due <= now {
            heap.removeMin()
            guard !isSuperseded(first) else { continue }
            current[first.key] = nil
            return first.key
        }
        return nil
    }

    package mutating func remove(_ key: Key) { current[key] = nil }

    package mutating func removeAll() {
        heap = Heap()
        current = [:]
    }

    private func isSuperseded(_ entry: Entry) -> Bool { current[entry.key]?.order != entry.order }
}
