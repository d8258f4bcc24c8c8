/// This node's turns at the store: the blocks that it is to read, and what it read beyond them.
///
/// ### Invariants
/// - `owned` ascends.
/// - Some node holds the block of each owned position before `cursor`.
package struct SwarmStoreTurns: Sendable {
    /// Positions of the blocks that this node is to read.
    package private(set) var owned: [Int32] = []
    /// The first place in ``owned`` whose block no node holds yet, or an earlier one.
    package private(set) var cursor = 0
    /// Reads that counted against the budget.
    package private(set) var budgetUsed = 0
    /// Blocks read so far, by reason.
    package private(set) var reads: [SwarmStoreReason: Int] = [:]
    /// The store wants no reads before this time.
    package private(set) var throttledUntil: SwarmInstant = 0
    private var wanted: [Int] = []

    package init() {}

    package mutating func deal(_ owned: [Int32]) {
        self.owned = owned
        cursor = 0
    }

    /// The places before `place` need no look any more.
    package mutating func pass(to place: Int) { cursor = place }
    /// A block that was passed is to be read after all.
    package mutating func rewind() { cursor = 0 }

    package mutating func throttle(until: SwarmInstant) { throttledUntil = max(throttledUntil, until) }
    package mutating func spendBudget() { budgetUsed += 1 }
    package mutating func count(_ reason: SwarmStoreReason) { reads[reason, default: 0] += 1 }

    /// A peer asked this node for the block as its owner. More than 64 at once are forgotten.
    package mutating func want(_ block: Int) {
        if wanted.count < 64, !wanted.contains(block) { wanted.append(block) }
    }

    package mutating func takeWanted() -> [Int] {
        defer { wanted.removeAll(keepingCapacity: true) }
        return wanted
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants(exists: BlockSet) {
        precondition(zip(owned, owned.dropFirst()).allSatisfy { $0 < $1 }, "owned positions do not ascend")
        precondition(cursor <= owned.count, "cursor \(cursor) is past \(owned.count) positions")
        precondition(owned[..<cursor].allSatisfy { exists.contains(Int($0)) }, "an owned position was passed unread")
    }
}
