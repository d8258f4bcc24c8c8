/// How far the swarm has read the model from the store. Knows positions in the order of reading, not blocks.
///
/// ### Invariants
/// - `watermark` is the first position that is not in `exists`.
/// - `exists` is a part of `claimed`.
/// - `overdue` and `unverifiedClaims` bind nobody: they only keep this node from waiting, or from reading at once.
package struct SwarmReading: Sendable {
    /// Positions of blocks that some node is known to hold.
    package private(set) var exists: BlockSet
    /// Positions of blocks held or being read, known at first hand: from this node and its neighbours.
    package private(set) var claimed: BlockSet
    /// The same as told by neighbours of third nodes. Forgotten every two seconds and not passed on, so that a claim
    /// dies with its claimant.
    package private(set) var unverifiedClaims: BlockSet
    /// Positions in the window that are read too slowly, or not at all; the other owners do not wait for them.
    package private(set) var overdue: BlockSet
    /// Some node holds each position before this one.
    package private(set) var watermark = 0
    package private(set) var watermarkMoved: SwarmInstant = 0
    /// When each position entered `exists`; meaningless for the other positions.
    package private(set) var existsSince: [SwarmInstant]
    /// When each position entered the window; 0: it is not in it. Meaningless for positions in `exists`.
    private var holeSince: [SwarmInstant]
    private var unverifiedClaimsSince: SwarmInstant = 0
    /// Gossip before this time is ignored.
    private var gossipBelievedFrom: SwarmInstant = 0

    package init(blockCount: Int) {
        exists = BlockSet(capacity: blockCount)
        claimed = exists
        unverifiedClaims = exists
        overdue = exists
        existsSince = Array(repeating: 0, count: blockCount)
        holeSince = existsSince
    }

    package mutating func start(at now: SwarmInstant) { watermarkMoved = now }

    /// Whether some node is known to hold every block.
    package var isOver: Bool { watermark >= exists.capacity }

    @inline(__always) package func isClaimed(_ position: Int) -> Bool {
        claimed.contains(position) || unverifiedClaims.contains(position)
    }

    /// Positions before `position` that no node holds, without overdue ones, counted up to `limit`.
    package func holes(before position: Int, limit: Int) -> Int {
        guard position > watermark else { return 0 }
        var count = 0
        var index = watermark >> 6
        var word = ~(exists.words[index] | overdue.words[index]) & (UInt64.max << UInt64(watermark & 63))
        while index <= position >> 6 {
            if index == position >> 6 { word &= (1 << UInt64(position & 63)) - 1 }
            count += word.nonzeroBitCount
            if count >= limit { return count }
            index += 1
            guard index < exists.words.count else { break }
            word = ~(exists.words[index] | overdue.words[index])
        }
        return count
    }

    // MARK: Claims of this node and its neighbours

    /// Some node holds the block at `position`.
    package mutating func held(_ position: Int, at now: SwarmInstant) {
        claimed.insert(position)
        guard exists.insert(position) else { return }
        existsSince[position] = now
        guard position == watermark else { return }
        watermark = exists.firstMissing(from: watermark)
        watermarkMoved = now
    }

    /// This node or a neighbour is receiving the block at `position`.
    package mutating func claim(_ position: Int) { claimed.insert(position) }

    /// Neither this node nor a neighbour holds or is receiving the block at `position` any more.
    package mutating func unclaim(_ position: Int) {
        if !exists.contains(position) { claimed.remove(position) }
    }

    /// The block at `position` is being read once more: what is too slow from now on counts from now on.
    package mutating func readAgain(_ position: Int, at now: SwarmInstant) {
        precondition(exists.contains(position), "position \(position) was never read")
        existsSince[position] = now
    }

    /// The window does not wait for the block at `position`.
    package mutating func skip(_ position: Int) { overdue.insert(position) }

    /// The window does not wait for an owner that takes longer than `patience`: slow and dead owners would hold up all
    /// others. At most four windows of such blocks are skipped.
    package mutating func watchWindow(_ window: Int, patience: SwarmNanoseconds, at now: SwarmInstant) {
        var seen = 0
        var late = 0
        var position = watermark
        while position < exists.capacity, seen < window {
            defer { position += 1 }
            guard !exists.contains(position) else { continue }
            if overdue.contains(position) {
                late += 1
            } else if holeSince[position] == 0 {
                holeSince[position] = now
                seen += 1
            } else if now > holeSince[position] + patience, late < window * 4 {
                overdue.insert(position)
                late += 1
            } else {
                seen += 1
            }
        }
    }

    // MARK: Gossip

    package func believesGossip(at now: SwarmInstant) -> Bool { now >= gossipBelievedFrom }

    /// Takes what a neighbour says of all nodes, unless gossip is not believed now.
    package mutating func adopt(_ gossip: SwarmGossip, at now: SwarmInstant) {
        guard believesGossip(at: now) else { return }
        let far = min(gossip.watermark, exists.capacity)
        if far > watermark {
            for position in watermark..<far where exists.insert(position) {
                existsSince[position] = now
                claimed.insert(position)
            }
            watermark = exists.firstMissing(from: far)
            watermarkMoved = now
        }
        Self.forEach(gossip.beyond, from: far) { position in
            if position < exists.capacity, position >= watermark { held(position, at: now) }
        }
        Self.forEach(gossip.claimed, from: far) { position in
            if position >= watermark { unverifiedClaims.insert(position) }
        }
    }

    private static func forEach(_ words: [UInt64], from first: Int, _ body: (Int) -> Void) {
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                body(first + index * 64 + rest.trailingZeroBitCount)
                rest &= rest &- 1
            }
        }
    }

    /// The part of each message that says how far the swarm has read.
    /// - Parameter fullAge: see ``SwarmGossip/fullAge``.
    package func gossip(fullAge: Int?) -> SwarmGossip {
        SwarmGossip(watermark: watermark, beyond: mask(of: exists), claimed: mask(of: claimed), fullAge: fullAge)
    }

    private func mask(of set: BlockSet) -> [UInt64] {
        guard watermark < set.capacity else { return [] }
        var words: [UInt64] = []
        let shift = UInt64(watermark & 63)
        let base = watermark >> 6
        for index in 0..<SwarmGossip.words where base + index < set.words.count {
            var word = set.words[base + index] >> shift
            if shift > 0, base + index + 1 < set.words.count { word |= set.words[base + index + 1] << (64 - shift) }
            words.append(word)
        }
        while words.last == 0 { words.removeLast() }
        return words
    }

    package mutating func forgetOldClaims(at now: SwarmInstant) {
        guard now >= unverifiedClaimsSince + .seconds(2) else { return }
        unverifiedClaims = BlockSet(capacity: exists.capacity)
        unverifiedClaimsSince = now
    }

    /// Whether everything was forgotten within the last five seconds.
    package func hasJustForgotten(at now: SwarmInstant) -> Bool { now <= gossipBelievedFrom + .seconds(5) }

    /// Keeps only what is known at first hand, and ignores gossip until the neighbours had time to do the same.
    ///
    /// - Parameters:
    ///   - isHeld: whether this node or a neighbour holds the block at a position.
    ///   - isComing: whether a neighbour gives it, or a fetch of it is in flight here.
    ///   - isAbandoned: whether this node fetches it no more.
    package mutating func believeFirstHandOnly(
        at now: SwarmInstant, isHeld: (Int) -> Bool, isComing: (Int) -> Bool, isAbandoned: (Int) -> Bool
    ) {
        gossipBelievedFrom = now + .seconds(1)
        unverifiedClaims = BlockSet(capacity: exists.capacity)
        for position in 0..<exists.capacity where !isHeld(position) {
            exists.remove(position)
            if !isAbandoned(position) { overdue.remove(position) }
            holeSince[position] = 0
            if !isComing(position) { claimed.remove(position) }
        }
        watermark = exists.firstMissing(from: 0)
        watermarkMoved = now
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator: it looks at every position.
    package func checkInvariants() {
        precondition(watermark == exists.firstMissing(from: 0), "watermark \(watermark) is not the first hole")
        exists.forEach { precondition(claimed.contains($0), "position \($0) exists and is not claimed") }
    }
}

/// News of nodes that hold every block. While one lives, no node reads the store.
package struct SwarmFullHolder: Sendable {
    /// When such a node was last heard, at first hand or by gossip.
    private var heard: SwarmInstant?
    /// It was there at the start.
    package private(set) var isSeed = false
    /// The neighbours have not been told of it yet.
    package private(set) var isNews = false

    package init() {}

    /// Many heartbeats, so that the news survives the way through thousands of nodes.
    private static let memory: SwarmNanoseconds = .seconds(8)

    package func isKnown(at now: SwarmInstant) -> Bool {
        guard let heard else { return false }
        return now < heard + Self.memory
    }

    /// - Parameter then: when the full holder was heard.
    package mutating func heard(at then: SwarmInstant, started: SwarmInstant?) {
        if heard == nil {
            isNews = true
            isSeed = then < (started ?? then) + .seconds(2)
        }
        heard = max(heard ?? 0, then)
    }

    /// - Parameter age: ``SwarmGossip/fullAge`` as a neighbour told it.
    package mutating func heard(age: Int, at now: SwarmInstant, started: SwarmInstant?) {
        guard age < 600 else { return }
        let then = SwarmNanoseconds.milliseconds(100) * UInt64(age)
        if then < now, then < Self.memory { heard(at: now - then, started: started) }
    }

    /// The age of the news, which neighbours are told, in tenths of a second; nil: there is none.
    package func age(at now: SwarmInstant) -> Int? {
        guard let heard, isKnown(at: now) else { return nil }
        return Int((now - min(now, heard)) / .milliseconds(100))
    }

    package mutating func told() { isNews = false }
    package mutating func forget() { heard = nil }
}
