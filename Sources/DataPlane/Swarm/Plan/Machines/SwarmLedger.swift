/// Each block as this node sees it: held or abandoned here, in flight to here, and how many neighbours can give it.
///
/// ### Invariants
/// - `have` and `abandoned` are disjoint. A block in neither is missing.
/// - `candidates` has exactly the blocks that are missing, not in flight, and given by some neighbour.
/// - `inFlight` is at most 2 for each block, and 0 for a block that is abandoned.
package struct SwarmLedger: Sendable {
    /// Blocks that this node holds.
    package private(set) var have: BlockSet
    /// Blocks that this node does not fetch: their files failed here, or are copied from another cache of the node.
    package private(set) var abandoned: BlockSet
    /// Blocks that a fetch from a peer can begin for.
    package private(set) var candidates: BlockSet
    /// Fetches in flight for each block: 0, 1, or 2 when hedged.
    package private(set) var inFlight: [UInt8]
    /// Neighbours that hold each block or are receiving it.
    package private(set) var holders: [UInt16]

    package init(blockCount: Int) {
        have = BlockSet(capacity: blockCount)
        abandoned = have
        candidates = have
        inFlight = Array(repeating: 0, count: blockCount)
        holders = Array(repeating: 0, count: blockCount)
    }

    /// Whether the block is to be fetched some time.
    @inline(__always) package func isMissing(_ block: Int) -> Bool {
        !have.contains(block) && !abandoned.contains(block)
    }

    /// Whether nothing is to be fetched any more.
    package var isSatisfied: Bool { have.count + abandoned.count == inFlight.count }

    // MARK: Here

    /// The block is here. Returns whether it was not before. Its fetches, if any, are still to be ended.
    package mutating func hold(_ block: Int) -> Bool {
        guard have.insert(block) else { return false }
        abandoned.remove(block)
        candidates.remove(block)
        return true
    }

    /// The block is here no more. Returns whether it was.
    package mutating func lose(_ block: Int) -> Bool {
        guard have.remove(block) else { return false }
        consider(block)
        return true
    }

    /// The block is not fetched from now on; it must have been lost before. Returns whether it was not abandoned yet.
    /// Its fetches, if any, are still to be ended.
    package mutating func abandon(_ block: Int) -> Bool {
        precondition(!have.contains(block), "block \(block) is held and cannot be abandoned")
        guard abandoned.insert(block) else { return false }
        candidates.remove(block)
        return true
    }

    /// The block is to be fetched after all. Returns whether it was abandoned.
    package mutating func resume(_ block: Int) -> Bool {
        guard abandoned.remove(block) else { return false }
        consider(block)
        return true
    }

    // MARK: On its way

    package mutating func fetchBegan(_ block: Int) {
        precondition(inFlight[block] < 2 && isMissing(block), "block \(block) needs no further fetch")
        inFlight[block] += 1
        candidates.remove(block)
    }

    package mutating func fetchEnded(_ block: Int) {
        precondition(inFlight[block] > 0, "no fetch of block \(block) is in flight")
        inFlight[block] -= 1
        consider(block)
    }

    // MARK: At neighbours

    /// One more neighbour holds the block or is receiving it.
    package mutating func holderCame(_ block: Int) {
        holders[block] += 1
        consider(block)
    }

    package mutating func holderWent(_ block: Int) {
        precondition(holders[block] > 0, "no neighbour gives block \(block)")
        holders[block] -= 1
        if holders[block] == 0 { candidates.remove(block) }
    }

    @inline(__always) private mutating func consider(_ block: Int) {
        guard holders[block] > 0, inFlight[block] == 0, isMissing(block) else { return }
        candidates.insert(block)
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator: it looks at every block.
    package func checkInvariants() {
        precondition(have.isDisjoint(with: abandoned), "held and abandoned blocks overlap")
        for block in inFlight.indices {
            let isCandidate = isMissing(block) && inFlight[block] == 0 && holders[block] > 0
            precondition(candidates.contains(block) == isCandidate, "block \(block): candidate is not \(isCandidate)")
            precondition(inFlight[block] <= 2, "block \(block): \(inFlight[block]) fetches")
            precondition(inFlight[block] == 0 || !abandoned.contains(block), "block \(block): abandoned, yet in flight")
        }
    }
}
