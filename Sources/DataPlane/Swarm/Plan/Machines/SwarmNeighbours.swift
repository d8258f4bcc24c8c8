/// The peers with a control connection: what they said, and what this node asked of them.
///
/// ### Invariants
/// - `list` and the places by peer agree.
/// - A neighbour's `blocks` and `arriving` are disjoint, and nothing is in `arriving` twice.
/// - A neighbour that has sent no map has neither.
package struct SwarmNeighbours: Sendable {
    package private(set) var list: [SwarmNeighbour] = []
    private var slots: [SwarmPeer: Int] = [:]
    /// Mean of the neighbours' ``SwarmNeighbour/service``.
    package private(set) var meanService: Double = 0
    /// Requests that wait at a neighbour, mean over all neighbours.
    package private(set) var meanQueue = 0
    private let blockCount: Int

    package init(blockCount: Int) { self.blockCount = blockCount }

    package var count: Int { list.count }
    package var isEmpty: Bool { list.isEmpty }
    package var indices: Range<Int> { list.indices }
    /// The neighbour's place in ``list`` until the next ``remove(_:)``; nil: it is none.
    package func slot(of peer: SwarmPeer) -> Int? { slots[peer] }
    @inline(__always) package subscript(slot: Int) -> SwarmNeighbour { list[slot] }

    // MARK: Coming and going

    package mutating func add(_ peer: SwarmPeer, isMine: Bool, isNear: Bool, at now: SwarmInstant) -> Int {
        precondition(slots[peer] == nil, "\(peer) is a neighbour already")
        slots[peer] = list.count
        var neighbour = SwarmNeighbour(peer, blockCount: blockCount, at: now)
        neighbour.isMine = isMine
        neighbour.isNear = isNear
        list.append(neighbour)
        return list.count - 1
    }

    /// The blocks that it gives must be forgotten before (``forgetsBlock(_:at:)``, ``forgetsMap(_:)``).
    package mutating func remove(_ peer: SwarmPeer) {
        guard let slot = slots.removeValue(forKey: peer) else { return }
        let last = list.removeLast()
        if slot < list.count {
            list[slot] = last
            slots[last.peer] = slot
        }
    }

    package mutating func connected(_ slot: Int, at now: SwarmInstant) {
        list[slot].isConnected = true
        list[slot].lastHeard = now
    }

    package mutating func setNear(_ slot: Int, _ isNear: Bool) { list[slot].isNear = isNear }

    // MARK: Their blocks

    /// The neighbour's map came; nothing is known of what it gives before.
    package mutating func takeMap(_ blocks: BlockSet, from slot: Int) {
        precondition(list[slot].blocks.isEmpty && list[slot].arriving.isEmpty, "\(list[slot].peer) has a map already")
        list[slot].isConnected = true
        list[slot].hasMap = true
        list[slot].blocks = blocks
        list[slot].heldCount = blocks.count
    }

    /// The change that a message about a block made.
    package enum Change: Equatable {
        case nothing
        /// The neighbour gives the block from now on.
        case gives
        /// It gave the block while it was arriving there, and now holds it.
        case arrived
    }

    /// The neighbour holds the block.
    package mutating func holds(_ block: Int, at slot: Int) -> Change {
        guard list[slot].blocks.insert(block) else { return .nothing }
        guard let place = list[slot].arriving.firstIndex(of: Int32(block)) else { return .gives }
        list[slot].arriving.remove(at: place)
        return .arrived
    }

    /// The neighbour is receiving the block.
    package mutating func receives(_ block: Int, at slot: Int) -> Change {
        guard block >= 0, block < blockCount, !list[slot].blocks.contains(block),
            !list[slot].arriving.contains(Int32(block))
        else { return .nothing }
        list[slot].arriving.append(Int32(block))
        return .gives
    }

    /// The neighbour gives the block no more. Returns whether it did before.
    package mutating func forgetsBlock(_ block: Int, at slot: Int) -> Bool {
        guard block >= 0, block < blockCount else { return false }
        var gave = list[slot].blocks.remove(block)
        if let place = list[slot].arriving.firstIndex(of: Int32(block)) {
            list[slot].arriving.remove(at: place)
            gave = true
        }
        return gave
    }

    /// All its blocks are forgotten, and it counts as one that has not sent its map.
    package mutating func forgetsMap(_ slot: Int) {
        precondition(list[slot].blocks.isEmpty && list[slot].arriving.isEmpty, "\(list[slot].peer) still gives blocks")
        list[slot].hasMap = false
    }

    /// Its agent does not know that turns can be handed over.
    package mutating func markTakesNoTurns(_ slot: Int) { list[slot].takesTurns = false }

    /// It has handed turns over to this node.
    package mutating func markSlow(_ slot: Int) { list[slot].isSlow = true }

    /// The number of blocks that it says it holds.
    package mutating func counts(_ held: Int, at slot: Int, _ now: SwarmInstant) {
        list[slot].heldCount = held
        if held < blockCount { list[slot].pace.counts(held, at: now) }
    }

    /// The middle one of the neighbours' paces and this node's own, of two the higher one; 0: too few are known.
    package func usualPace(own: Double) -> Double {
        let known = (list.map(\.pace.best) + [own]).filter { $0 > 0 }.sorted()
        return known.count * 2 > list.count ? known[known.count / 2] : 0
    }

    /// The end of each message: its sender lives, and has so many requests.
    package mutating func heard(_ slot: Int, load: Int, at now: SwarmInstant) {
        list[slot].lastHeard = now
        list[slot].load = load
        list[slot].sentSinceHeard = 0
    }

    package mutating func told(_ slot: Int, at now: SwarmInstant) { list[slot].lastTold = now }

    // MARK: Requests to them

    package mutating func asked(_ slot: Int) {
        list[slot].outstanding += 1
        list[slot].sentSinceHeard += 1
    }

    /// A request to the peer is over: one less there, before the peer announces it itself.
    package mutating func responded(_ peer: SwarmPeer) {
        guard let slot = slots[peer] else { return }
        list[slot].outstanding -= 1
        if list[slot].sentSinceHeard > 0 {
            list[slot].sentSinceHeard -= 1
        } else if list[slot].load > 0 {
            list[slot].load -= 1
        }
    }

    /// A request brought its block: `service` nanoseconds for each request that waited there, itself included.
    package mutating func measured(_ service: Double, at peer: SwarmPeer) {
        meanService = meanService == 0 ? service : meanService * 0.95 + service * 0.05
        guard let slot = slots[peer] else { return }
        let mean = list[slot].service
        list[slot].service = mean == 0 ? service : mean * 0.7 + service * 0.3
    }

    /// A peer's measured speed fades within seconds, because only a new request can find that a slow peer became quick.
    package mutating func fadeSpeeds() {
        for slot in list.indices where list[slot].service > 0 {
            list[slot].service = list[slot].service * 0.97 + meanService * 0.03
        }
    }

    /// Without the longest queue: one slow neighbour does not make queues long everywhere. A single one does.
    package mutating func measureQueues() {
        let longest = list.reduce(0) { max($0, $1.queue) }
        let sum = list.reduce(0) { $0 + $1.queue }
        meanQueue = list.count > 1 ? (sum - longest) / (list.count - 1) : longest
    }

    /// Nanoseconds until a request sent now would bring its block.
    package func cost(_ slot: Int) -> Double {
        let own = list[slot].service
        let service = own > 0 ? min(own, meanService * 16) : max(1, meanService)
        return Double(list[slot].queue + 1) * service
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator: it looks at every neighbour.
    package func checkInvariants() {
        precondition(slots.count == list.count, "\(slots.count) places of \(list.count) neighbours")
        for (slot, neighbour) in list.enumerated() {
            precondition(slots[neighbour.peer] == slot, "\(neighbour.peer) is not at its place")
            precondition(Set(neighbour.arriving).count == neighbour.arriving.count, "\(neighbour.peer): twice arriving")
            precondition(
                !neighbour.arriving.contains { neighbour.blocks.contains(Int($0)) },
                "\(neighbour.peer): a block arrives that it holds")
            precondition(
                neighbour.hasMap || neighbour.blocks.isEmpty && neighbour.arriving.isEmpty,
                "\(neighbour.peer): blocks without a map")
        }
    }
}

/// A peer with a control connection, as this node sees it.
package struct SwarmNeighbour: Sendable {
    package let peer: SwarmPeer
    package fileprivate(set) var isConnected = false
    package fileprivate(set) var hasMap = false
    /// It is in this node's zone, or no zones are known.
    package fileprivate(set) var isNear = true
    /// This node opened the connection.
    package fileprivate(set) var isMine = false
    /// Blocks that it announced. It may hold more: it does not announce blocks that this node holds too.
    package fileprivate(set) var blocks: BlockSet
    /// The number of blocks that it says it holds.
    package fileprivate(set) var heldCount = 0
    /// How fast that number grows.
    package fileprivate(set) var pace = SwarmPace()
    /// It has handed turns over to this node.
    package fileprivate(set) var isSlow = false
    package fileprivate(set) var takesTurns = true
    package fileprivate(set) var arriving: [Int32] = []
    package fileprivate(set) var lastHeard: SwarmInstant
    package fileprivate(set) var lastTold: SwarmInstant = 0
    package fileprivate(set) var load = 0
    /// Requests sent to it since it announced its load.
    package fileprivate(set) var sentSinceHeard = 0
    /// Fetches of this node that it has not responded to.
    package fileprivate(set) var outstanding = 0
    /// Nanoseconds that a request takes there for each queued request, itself included; 0: not known yet.
    package fileprivate(set) var service: Double = 0

    fileprivate init(_ peer: SwarmPeer, blockCount: Int, at now: SwarmInstant) {
        self.peer = peer
        blocks = BlockSet(capacity: blockCount)
        lastHeard = now
    }

    /// Requests that a request sent now would find before it.
    package var queue: Int { load + sentSinceHeard }
}
