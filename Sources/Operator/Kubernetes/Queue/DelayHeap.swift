/// Keys that are due later, the earliest first. Each key is in it once: adding it again keeps the earlier time.
struct DelayHeap<Key: Hashable & Sendable>: Sendable {
    private struct Entry {
        let due: ContinuousClock.Instant
        let order: UInt64
        let key: Key
        static func < (a: Entry, b: Entry) -> Bool { (a.due, a.order) < (b.due, b.order) }
    }

    /// A binary heap. An entry whose order is not its key's current one is obsolete and is skipped.
    private var heap: [Entry] = []
    private var current: [Key: (due: ContinuousClock.Instant, order: UInt64)] = [:]
    private var orders: UInt64 = 0

    var count: Int { current.count }
    var nextDue: ContinuousClock.Instant? { heap.first?.due }

    mutating func insert(_ key: Key, due: ContinuousClock.Instant) {
        if let known = current[key], known.due <= due { return }
        orders += 1
        current[key] = (due, orders)
        heap.append(Entry(due: due, order: orders, key: key))
        siftUp()
    }

    /// Removes and returns the keys that are due, in the order of their times.
    mutating func popDue(_ now: ContinuousClock.Instant) -> [Key] {
        var keys: [Key] = []
        while let first = heap.first, isSuperseded(first) || first.due <= now {
            removeFirst()
            guard !isSuperseded(first) else { continue }
            current[first.key] = nil
            keys.append(first.key)
        }
        return keys
    }

    mutating func removeAll() {
        heap = []
        current = [:]
    }

    private func isSuperseded(_ entry: Entry) -> Bool { current[entry.key]?.order != entry.order }

    private mutating func siftUp() {
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child] < heap[parent] else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
