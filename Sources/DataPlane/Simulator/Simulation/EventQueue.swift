/// Events by time; of equal times, the one scheduled first. A binary heap of small values.
struct EventQueue {
    struct Entry {
        var time: UInt64
        var order: UInt64
        var kind: Kind
        var first: Int32
        var second: Int32
    }

    enum Kind: UInt8 {
        /// The uplink of node `first` has sent a segment of flow `second`.
        case sent
        /// A segment of flow `second` has arrived.
        case delivered
        /// Flow `second`'s request reaches its source.
        case requested
        /// The tick that planner `first` asked for.
        case tick
        /// Message `second` reaches its addressees.
        case message
        /// Step `first` of the scenario.
        case step
        /// Node `first` hears that its control connection to `second` is open / has ended.
        case connected
        case disconnected
        case declined
        /// The receiver hears that flow `second` was refused.
        case refused
    }

    private var heap: [Entry] = []
    private var order: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }

    mutating func schedule(_ kind: Kind, at time: UInt64, _ first: Int = 0, _ second: Int = 0) {
        order += 1
        let entry = Entry(
            time: time, order: order, kind: kind, first: Int32(truncatingIfNeeded: first),
            second: Int32(truncatingIfNeeded: second))
        var place = heap.count
        heap.append(entry)
        while place > 0 {
            let parent = (place - 1) / 4
            if !precedes(entry, heap[parent]) { break }
            heap[place] = heap[parent]
            place = parent
        }
        heap[place] = entry
    }

    mutating func next() -> Entry? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return top }
        var place = 0
        let count = heap.count
        while true {
            let child = place * 4 + 1
            if child >= count { break }
            var least = child
            var other = child + 1
            let end = min(child + 4, count)
            while other < end {
                if precedes(heap[other], heap[least]) { least = other }
                other += 1
            }
            if !precedes(heap[least], last) { break }
            heap[place] = heap[least]
            place = least
        }
        heap[place] = last
        return top
    }

    @inline(__always) private func precedes(_ left: Entry, _ right: Entry) -> Bool {
        left.time < right.time || (left.time == right.time && left.order < right.order)
    }
}
