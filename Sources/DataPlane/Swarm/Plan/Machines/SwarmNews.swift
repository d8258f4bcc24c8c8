/// The changes that this node has yet to tell its neighbours.
///
/// A receiver takes a message's lost blocks first, then those that arrive, then those held. So a block that was lost
/// and came again may be in both lists.
///
/// ### Invariants
/// - `pending.held` has only blocks that this node holds, each once.
/// - `pending.isFull` only while this node holds every block.
package struct SwarmNews: Sendable {
    package private(set) var pending = SwarmDelta()
    /// Requests of peers that are served or waiting here.
    package private(set) var uploads = 0
    /// This node's uplink is so many times slower than others.
    private var slowness = 1.0
    /// The next message goes to all neighbours, full holders too: this node has become complete, or has lost a block.
    private var isForEach = false
    private var announcedLoad = 0
    private var lastAnnounced: SwarmInstant = 0
    /// When this node last told its neighbours how many blocks it holds.
    private var lastCounted: SwarmInstant = 0

    package init() {}

    private var isEmpty: Bool { pending.held.isEmpty && pending.arriving.isEmpty && pending.lost.isEmpty }

    // MARK: Changes here

    package mutating func held(_ block: Int, isFull: Bool) {
        pending.held.append(block)
        guard isFull else { return }
        pending.isFull = true
        isForEach = true
    }

    /// A neighbour lost a block that this node holds. It was not told of it while it held the block itself.
    package mutating func heldHereToo(_ block: Int) {
        if !pending.held.contains(block) { pending.held.append(block) }
    }

    package mutating func lost(_ block: Int) {
        pending.held.removeAll { $0 == block }
        pending.lost.append(block)
        pending.isFull = false
        isForEach = true
    }

    package mutating func arriving(_ block: Int) { pending.arriving.append(block) }

    /// The block arrives no more.
    package mutating func stopped(_ block: Int) {
        pending.arriving.removeAll { $0 == block }
        pending.lost.append(block)
    }

    package mutating func setUploads(_ count: Int) { uploads = count }
    package mutating func setSlowness(_ slowness: Double) { self.slowness = slowness }

    /// The load that neighbours are told, in requests of a good uplink. One more than there are at a slow uplink, which
    /// is not to be asked even when it is idle.
    package var load: Int { slowness > 1 ? Int(Double(uploads + 1) * slowness) : uploads }

    // MARK: When it is told

    /// - Parameters:
    ///   - interval: the span of one announcement.
    ///   - isPressing: there is news beside that of blocks.
    package func due(
        interval: SwarmNanoseconds, isPressing: Bool, _ configuration: SwarmPlannerConfiguration
    ) -> SwarmInstant {
        if isPressing || !isEmpty { return lastAnnounced + interval }
        // The other nodes need to know soon that an uplink is about to be idle.
        if load < announcedLoad, load <= configuration.idleLoad {
            return lastAnnounced + configuration.loadInterval
        }
        if abs(load - announcedLoad) >= 2 { return lastAnnounced + configuration.loadInterval * 5 }
        return lastAnnounced + configuration.heartbeat
    }

    /// A message that goes out now, to neighbours without news too where it says so.
    package struct Message {
        package var delta: SwarmDelta
        /// To all neighbours.
        package let isForEach: Bool
        /// To all that do not hold everything.
        package let isForAll: Bool
    }

    /// Takes the pending news. `isArriving` says of a block whether it still arrives here.
    package mutating func take(
        isPressing: Bool, gossip: SwarmGossip, heldCount: Int, idleLoad: Int, at now: SwarmInstant,
        isArriving: (Int) -> Bool
    ) -> Message {
        let isForAll =
            isPressing || pending.isFull || !pending.lost.isEmpty || load != announcedLoad && load <= idleLoad
        var message = Message(delta: pending, isForEach: isForEach, isForAll: isForAll)
        pending = SwarmDelta()
        lastAnnounced = now
        announcedLoad = load
        isForEach = false
        message.delta.arriving.removeAll { !isArriving($0) }
        message.delta.load = load
        message.delta.gossip = gossip
        if now >= lastCounted + .seconds(1) {
            lastCounted = now
            message.delta.heldCount = heldCount
        }
        return message
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants(have: BlockSet) {
        precondition(pending.held.allSatisfy { have.contains($0) }, "a block is announced that is not held")
        precondition(Set(pending.held).count == pending.held.count, "a block is announced twice")
        precondition(!pending.isFull || have.isFull, "announced as complete with \(have.count) blocks")
    }
}
