// SwarmPlan: which node takes which block from whom. The agent and the simulator share these values.
//
// - `SwarmPlanner` decides for one model on one node: `SwarmEvent` in, `SwarmAction` out.
// - Machines/: `SwarmLedger`, `SwarmReading`, `SwarmFetches`, `SwarmNeighbours` and `SwarmDemands` keep what it knows.
// - `SwarmMembers` gives each block an owner, which reads it from the store.
// - `SwarmMap` and `SwarmDelta` are the messages between planners, with their coding.
// - `UploadQueue` decides whose request a node serves next.
// Invariants: no value has a clock, a socket or a task; all randomness comes from the configuration's seed; the
// machines know nothing of each other.
// Left to others: connections and trust (Swarm), the life of a transfer and its retries (Transfer).

/// Decides which block of a model this node takes from whom, and when. A pure value: events in, actions out.
///
/// It answers two separate questions, as docs/swarm.md explains:
///
/// 1. *Which node reads a block from the store?* Its owner (``SwarmMembers``), in one order that all nodes share, and
///    only while fewer than ``SwarmPlannerConfiguration/originWindow`` earlier blocks are still unread. Fifty owners
///    that read at once would each get a fiftieth of the store's rate, and no node could pass anything on for a long
///    time. Every message says how far the swarm has read (``SwarmGossip``).
/// 2. *From which peer do all other nodes take it?* From any neighbour that holds it, rarest block first, from the
///    quickest of a few neighbours picked at random.
///
/// Five machines keep what it knows, each with its own invariants: who can give each block (``SwarmLedger``), how far
/// the swarm has read (``SwarmReading``), the fetches in flight (``SwarmFetches``), the neighbours
/// (``SwarmNeighbours``) and the readers' demands (``SwarmDemands``). Smaller values keep the peers' reputations, news
/// of full holders, turns at the store, imports into the zone, news for neighbours, rates, and this node's uplink. The
/// machines know nothing of each other; the extensions of this type decide, and tell each machine what concerns it.
///
/// An event costs time in proportion to the neighbours, not to the blocks or members. A change of members or of turns
/// at the store costs one pass over the blocks. All randomness comes from ``SwarmPlannerConfiguration/seed``.
///
/// ### Guarantees
/// - A block is fetched by one fetch at a time, or by two when the first is slow (within
///   ``SwarmPlannerConfiguration/hedgeBudget``).
/// - A fetch goes to a peer that announced the block, or to the block's owner.
/// - The store is not read for a block that some live neighbour holds, except for a reader past its deadline (within
///   the budget), in the stead of a holder that says it cannot pass the block on, and as the last resort.
public struct SwarmPlanner: Sendable {
    public let configuration: SwarmPlannerConfiguration

    // MARK: State (shared by the extensions of this type, one file a topic)

    var random: SwarmRandom
    var members: SwarmMembers
    var started: SwarmInstant?
    /// The order of reading.
    let order: SwarmReadingOrder

    var ledger: SwarmLedger
    var reading: SwarmReading
    var fetches: SwarmFetches
    var neighbours: SwarmNeighbours
    var demands: SwarmDemands

    var reputations: SwarmReputations
    var full = SwarmFullHolder()
    var turns = SwarmStoreTurns()
    var imports: SwarmZoneImports
    var news = SwarmNews()
    var arrivals: SwarmArrivals
    var uplink = SwarmUplink()
    /// Blocks a nanosecond that nodes usually get.
    var usualPace = 0.0

    /// When this node last looked for blocks with too few holders.
    var scarceLook: SwarmInstant = 0
    var nextTick: SwarmInstant = .max
    var lastUpkeep: SwarmInstant = 0
    private var saidComplete = false
    var actions: [SwarmAction] = []

    public init(_ configuration: SwarmPlannerConfiguration) {
        self.configuration = configuration
        let count = configuration.blockCount
        random = SwarmRandom(seed: configuration.seed)
        members = SwarmMembers([], blockCount: 0)
        order = SwarmReadingOrder(configuration.order, blockCount: count)
        ledger = SwarmLedger(blockCount: count)
        reading = SwarmReading(blockCount: count)
        fetches = SwarmFetches(hedges: max(2, Int(configuration.hedgeBudget * Double(count))))
        neighbours = SwarmNeighbours(blockCount: count)
        demands = SwarmDemands(blockCount: count)
        reputations = SwarmReputations(firstBan: configuration.firstBan, longestBan: configuration.longestBan)
        imports = SwarmZoneImports(blockCount: count)
        arrivals = SwarmArrivals(blockBytes: configuration.blockBytes)
    }

    // MARK: Questions

    /// The blocks that this node holds: the body of ``SwarmAction/sendMap(to:)``.
    public var map: SwarmMap {
        SwarmMap(
            blocks: ledger.have, arriving: configuration.relays ? arrivingHere() : [], load: news.load,
            gossip: gossip(at: lastUpkeep))
    }

    /// Blocks held.
    public var heldCount: Int { ledger.have.count }
    public var isComplete: Bool { ledger.have.isFull }
    public func holds(_ block: Int) -> Bool { ledger.have.contains(block) }
    /// Whether a control connection to `peer` exists or is being opened.
    public func isNeighbour(_ peer: SwarmPeer) -> Bool { neighbours.slot(of: peer) != nil }
    /// The first block from `start` on that is not held; the number of blocks if there is none.
    public func firstMissingBlock(from start: Int = 0) -> Int { ledger.have.firstMissing(from: start) }
    /// Blocks read from the store so far, by reason.
    public var storeReads: [SwarmStoreReason: Int] { turns.reads }
    /// One line for a log.
    public var summary: String {
        let peers = neighbours.list.map { "\($0.peer.number):\($0.blocks.count)/\($0.queue)/\($0.outstanding)" }
        let parts = [
            "held \(ledger.have.count)/\(configuration.blockCount)", "candidates \(ledger.candidates.count)",
            "peer \(fetches.fromPeers)", "store \(fetches.fromStore)", "watermark \(reading.watermark)",
            "banned \(reputations.bannedCount(at: lastUpkeep))", "[\(peers.joined(separator: " "))]",
        ]
        return parts.joined(separator: " ")
    }
    /// Blocks that this node may read without being their owner; more while it is starved.
    public var budget: Int {
        let share = configuration.originBudget * Double(configuration.blockCount) / Double(max(1, members.count))
        return max(1, Int(share.rounded(.up))) + arrivals.starvation.grant
    }

    // MARK: Events

    /// Takes one event: what happened, and when. Returns what the caller must do, in order.
    public mutating func handle(_ event: SwarmEvent, at now: SwarmInstant) -> [SwarmAction] {
        actions.removeAll(keepingCapacity: true)
        switch event {
        case .start(let members):
            started = now
            reading.start(at: now)
            arrivals.start(at: now)
            adopt(members, at: now)
        case .members(let members): adopt(members, at: now)
        case .connected(let peer): connected(peer, at: now)
        case .takesNoTurns(let peer): if let slot = neighbours.slot(of: peer) { neighbours.markTakesNoTurns(slot) }
        case .disconnected(let peer): disconnected(peer, at: now)
        case .declined(let peer): declined(peer, at: now)
        case .peerMap(let peer, let map): heard(map, from: peer, at: now)
        case .peerDelta(let peer, let delta): heard(delta, from: peer, at: now)
        case .progress(let fetch, let bytes): progressed(fetch, bytes: bytes, at: now)
        case .received(let fetch): received(fetch, at: now)
        case .failed(let fetch, let failure): failed(fetch, failure, at: now)
        case .demand(let ranges): demand(ranges, at: now)
        case .held(let ranges):
            for block in blocks(of: ranges) { hold(block, at: now) }
        case .lost(let ranges):
            for block in blocks(of: ranges) { lose(block) }
        case .abandoned(let ranges):
            for block in blocks(of: ranges) { abandon(block, at: now) }
        case .resumed(let ranges):
            for block in blocks(of: ranges) where ledger.resume(block) { turns.rewind() }
        case .wanted(let block, _):
            if block >= 0, block < configuration.blockCount, ledger.isMissing(block), ledger.inFlight[block] == 0 {
                turns.want(block)
            }
        case .uploads(let count): news.setUploads(count)
        case .upload(let change, let peer, let block):
            uploaded(change, to: peer, block: block, at: now)
            return actions
        case .storeThrottled(let until): turns.throttle(until: until)
        case .tick: nextTick = .max
        }
        guard started != nil else { return actions }
        if now >= lastUpkeep + Self.upkeepInterval { upkeep(at: now) }
        fill(at: now)
        flush(at: now)
        if ledger.have.isFull != saidComplete {
            saidComplete = ledger.have.isFull
            if saidComplete { actions.append(.complete) }
        }
        schedule(at: now)
        return actions
    }

    private func blocks(of ranges: [Range<Int>]) -> [Int] {
        ranges.flatMap { Array($0.clamped(to: 0..<configuration.blockCount)) }
    }

    // MARK: Blocks

    @inline(__always) func position(of block: Int) -> Int { order.position(of: block) }
    @inline(__always) func block(at position: Int) -> Int { order.block(at: position) }

    mutating func hold(_ block: Int, at now: SwarmInstant) {
        guard ledger.hold(block) else { return }
        demands.settled(block)
        imports.cameIn(block)
        reading.held(position(of: block), at: now)
        news.held(block, isFull: ledger.have.isFull)
        for record in fetches.records where record.block == block { cancel(record.id, at: now) }
    }

    private mutating func lose(_ block: Int) {
        guard ledger.lose(block) else { return }
        news.lost(block)
        turns.rewind()
    }

    private mutating func abandon(_ block: Int, at now: SwarmInstant) {
        lose(block)
        guard ledger.abandon(block) else { return }
        demands.settled(block)
        // The window does not wait for what this node will not read.
        reading.skip(position(of: block))
        for record in fetches.records where record.block == block { cancel(record.id, at: now) }
    }

    // MARK: Invariants

    /// Stops the program where the planner's state contradicts itself. For tests and the simulator: it costs blocks
    /// times neighbours.
    package func checkInvariants() {
        ledger.checkInvariants()
        reading.checkInvariants()
        fetches.checkInvariants()
        neighbours.checkInvariants()
        demands.checkInvariants()
        imports.checkInvariants()
        uplink.checkInvariants()
        news.checkInvariants(have: ledger.have)
        turns.checkInvariants(exists: reading.exists)
        var giving = [Int](repeating: 0, count: configuration.blockCount)
        for neighbour in neighbours.list {
            neighbour.blocks.forEach { giving[$0] += 1 }
            for block in neighbour.arriving { giving[Int(block)] += 1 }
        }
        var coming = [Int](repeating: 0, count: configuration.blockCount)
        for record in fetches.records { coming[record.block] += 1 }
        for block in giving.indices {
            let position = position(of: block)
            precondition(ledger.holders[block] == giving[block], "block \(block): \(giving[block]) neighbours give it")
            precondition(ledger.inFlight[block] == coming[block], "block \(block): \(coming[block]) fetches")
            precondition(
                !demands.waiting.contains(block) || ledger.isMissing(block), "block \(block): awaited, not missing")
            precondition(
                !ledger.have.contains(block) || reading.exists.contains(position), "block \(block): held, yet unread")
            precondition(
                !reading.claimed.contains(position) || reading.exists.contains(position)
                    || giving[block] > 0 || coming[block] > 0, "block \(block): claimed by nobody")
        }
    }
}

/// The order in which all nodes read the model: a position for each block, and back.
struct SwarmReadingOrder: Sendable {
    /// Both empty when the order is ascending.
    private let blocks: [Int32]
    private let positions: [Int32]

    /// - Parameter order: see ``SwarmPlannerConfiguration/order``.
    init(_ order: [Int32], blockCount: Int) {
        guard order.count == blockCount else {
            (blocks, positions) = ([], [])
            return
        }
        var positions = [Int32](repeating: 0, count: blockCount)
        for (position, block) in order.enumerated() { positions[Int(block)] = Int32(position) }
        (blocks, self.positions) = (order, positions)
    }

    @inline(__always) func position(of block: Int) -> Int { positions.isEmpty ? block : Int(positions[block]) }
    @inline(__always) func block(at position: Int) -> Int { blocks.isEmpty ? position : Int(blocks[position]) }
}
