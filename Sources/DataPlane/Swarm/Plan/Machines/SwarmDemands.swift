/// The blocks that readers of this node wait for, and those they will want next.
///
/// ### Invariants
/// - `queue` has each block of `waiting` once, and no other.
/// - No block that is held or abandoned here waits: whoever gets or abandons one says so (``settled(_:)``).
package struct SwarmDemands: Sendable {
    package private(set) var waiting: BlockSet
    /// The oldest first.
    package private(set) var queue: [SwarmDemand] = []
    private var soon: [Int32] = []

    package init(blockCount: Int) { waiting = BlockSet(capacity: blockCount) }

    package var isEmpty: Bool { queue.isEmpty }
    package var isSoonEmpty: Bool { soon.isEmpty }

    /// A reader waits for those of `blocks` that are missing; `ahead` are the blocks after them.
    package mutating func ask(
        _ blocks: Range<Int>, ahead: Range<Int>, isMissing: (Int) -> Bool, at now: SwarmInstant
    ) {
        for block in blocks where isMissing(block) && waiting.insert(block) {
            queue.append(SwarmDemand(block: block, since: now))
        }
        soon.removeAll(keepingCapacity: true)
        for block in ahead where isMissing(block) { soon.append(Int32(block)) }
    }

    /// Nobody waits for the block any more: it is here, or abandoned.
    package mutating func settled(_ block: Int) {
        guard waiting.remove(block), let place = queue.firstIndex(where: { $0.block == block }) else { return }
        queue.remove(at: place)
    }

    /// Takes the first of the next blocks that is a candidate; those before it are forgotten.
    package mutating func nextSoon(among candidates: BlockSet) -> Int? {
        guard let place = soon.firstIndex(where: { candidates.contains(Int($0)) }) else {
            soon.removeAll(keepingCapacity: true)
            return nil
        }
        let block = Int(soon[place])
        soon.removeFirst(place + 1)
        return block
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants() {
        precondition(queue.count == waiting.count, "\(queue.count) demands of \(waiting.count) blocks")
        precondition(queue.allSatisfy { waiting.contains($0.block) }, "a demand for a block that nobody waits for")
    }
}

/// A block that a reader waits for, and since when.
package struct SwarmDemand: Sendable {
    package let block: Int
    package let since: SwarmInstant
}
