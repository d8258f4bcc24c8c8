import HeapModule

/// Events by time; of equal times, the one scheduled first.
struct EventQueue {
    struct Entry: Comparable {
        var time: UInt64
        /// Of no two entries.
        var order: UInt64
        var kind: Kind
        var first: Int32
        var second: Int32

        static func < (a: Entry, b: Entry) -> Bool { (a.time, a.order) < (b.time, b.order) }
        static func == (a: Entry, b: Entry) -> Bool { a.order == b.order }
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

    private var heap = Heap<Entry>()
    private var order: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }

    mutating func schedule(_ kind: Kind, at time: UInt64, _ first: Int = 0, _ second: Int = 0) {
        order += 1
        heap.insert(
            Entry(
                time: time, order: order, kind: kind, first: Int32(truncatingIfNeeded: first),
                second: Int32(truncatingIfNeeded: second)))
    }

    mutating func next() -> Entry? { heap.popMin() }
}
