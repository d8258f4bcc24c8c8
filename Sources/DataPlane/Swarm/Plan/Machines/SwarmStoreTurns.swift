/// This node's turns at the store: the blocks that it is to read, and what it read beyond them.
///
/// ### Invariants
/// - `owned` ascends.
/// - Some node holds the block of each owned position before `cursor`.
/// - No block is both taken from another node and handed over.
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
    /// Blocks that this node is to read in the stead of another one, each with the node that said so.
    package private(set) var taken: [Int: SwarmPeer] = [:]
    /// Blocks that this node was to read and that another one reads in its stead.
    package private(set) var handedOver: [Int: SwarmPeer] = [:]
    /// Blocks that this node is to read again.
    private var again: [SwarmSlowHolder] = []
    /// Blocks that were to be read again so far.
    private var againCount = 0
    /// Blocks that this node read and has not passed on yet.
    package private(set) var owed: Set<Int> = []
    /// Blocks that were owed when they were handed over.
    private var owedBefore: Set<Int> = []

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

    // MARK: Turns handed over

    /// This node is to read the block in the peer's stead. The caller deals the turns anew.
    package mutating func take(_ block: Int, from peer: SwarmPeer) {
        taken[block] = peer
        handedOver[block] = nil
        owedBefore.remove(block)
    }

    package func takenCount(from peer: SwarmPeer) -> Int { taken.values.count { $0 == peer } }

    /// The peer died, so others have its turns as they have those of all dead nodes. The caller deals the turns anew.
    package mutating func forgetTurns(of peer: SwarmPeer) {
        taken = taken.filter { $0.value != peer }
    }

    /// Only these nodes are left. The caller deals the turns anew.
    package mutating func keep(_ members: Set<SwarmPeer>) {
        taken = taken.filter { members.contains($0.value) }
        for peer in Set(handedOver.values).subtracting(members) { takeBack(from: peer) }
    }

    /// The peer reads the block in this node's stead. The caller deals the turns anew.
    package mutating func handOver(_ block: Int, to peer: SwarmPeer) {
        handedOver[block] = peer
        taken[block] = nil
        if owed.remove(block) != nil { owedBefore.insert(block) }
    }

    /// The peer is gone: this node has those turns again, and owes what it owed before. Returns whether there are any;
    /// the caller then deals the turns anew.
    @discardableResult
    package mutating func takeBack(from peer: SwarmPeer) -> Bool {
        let back = handedOver.filter { $0.value == peer }.keys
        for block in back {
            handedOver[block] = nil
            if owedBefore.remove(block) != nil { owed.insert(block) }
        }
        return !back.isEmpty
    }

    /// A slow node has read the block and cannot pass it on. This node reads it again, unless it was to do so with
    /// `limit` blocks before.
    package mutating func readAgain(_ block: Int, insteadOf holder: SwarmPeer, atMost limit: Int) {
        guard againCount < limit, !again.contains(where: { $0.block == block }) else { return }
        againCount += 1
        again.append(SwarmSlowHolder(block: block, holder: holder))
    }
    package mutating func takeAgain() -> [SwarmSlowHolder] {
        defer { again.removeAll(keepingCapacity: true) }
        return again
    }
    package mutating func readLater(_ blocks: [SwarmSlowHolder]) { again += blocks }

    /// This node has read the block, and nobody has it from here yet.
    package mutating func owes(_ block: Int) { owed.insert(block) }
    package mutating func passedOn(_ block: Int) {
        owed.remove(block)
        owedBefore.remove(block)
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants(exists: BlockSet) {
        precondition(zip(owned, owned.dropFirst()).allSatisfy { $0 < $1 }, "owned positions do not ascend")
        precondition(taken.keys.allSatisfy { handedOver[$0] == nil }, "a turn is taken and handed over")
        precondition(owedBefore.allSatisfy { handedOver[$0] != nil }, "an owed block is with nobody")
        precondition(cursor <= owned.count, "cursor \(cursor) is past \(owned.count) positions")
        precondition(owned[..<cursor].allSatisfy { exists.contains(Int($0)) }, "an owned position was passed unread")
    }
}

/// A block that a slow node has read and cannot pass on.
package struct SwarmSlowHolder: Sendable, Equatable {
    package let block: Int
    package let holder: SwarmPeer
}
