/// Decides which block of a model this node takes from whom, and when. A pure value: events in, actions out.
///
/// Two separate questions, as docs/swarm.md explains:
///
/// 1. *Who reads a block from the store?* Its owner (``SwarmMembers``), in one order that all nodes share,
///    and only while fewer than ``SwarmPlannerConfiguration/originWindow`` earlier blocks are still unread:
///    fifty owners that read at once would each get a fiftieth of the store's rate, and nobody could pass
///    anything on for a long time. How far the reading is travels with every message (``SwarmGossip``).
/// 2. *From whom does everyone else take it?* From any neighbour that holds it, rarest first, from the
///    quickest of a few picked at random.
///
/// Each event costs time in proportion to the neighbours, not to the blocks or members; a change of members
/// costs the blocks once. Nothing here is random but ``SwarmPlannerConfiguration/seed``.
///
/// ### Guarantees
/// - A block is fetched by one fetch at a time, by two when the first is slow (within ``SwarmPlannerConfiguration/hedgeBudget``).
/// - A fetch goes to a peer that announced the block, or to the block's owner.
/// - The store is not read for a block that some live neighbour holds, but for a reader past its deadline,
///   within the budget, and as the last resort.
public struct SwarmPlanner: Sendable {
    public let configuration: SwarmPlannerConfiguration

    // MARK: State (shared by the extensions of this type, one file a topic)

    var random: SwarmRandom
    var members: SwarmMembers
    var started: SwarmInstant?
    var neighbours: [SwarmNeighbour] = []
    var slots: [SwarmPeer: Int] = [:]
    /// What is known of peers that failed, neighbours or not.
    var reputations: [SwarmPeer: SwarmReputation] = [:]

    var have: BlockSet
    /// Transfers in flight for each block: 0, 1, or 2 when hedged.
    var inFlight: [UInt8]
    /// Neighbours that hold the block or are receiving it.
    var holders: [UInt16]
    /// Blocks that are missing, not in flight, and held by some neighbour.
    var candidates: BlockSet
    var fetches: [SwarmFetchRecord] = []
    var nextFetch: UInt64 = 1
    var peerFetchCount = 0
    var storeFetchCount = 0

    var demanded: BlockSet
    var demandQueue: [SwarmDemand] = []
    var soon: [Int32] = []

    /// Position of a block in the order of reading; empty when the order is ascending.
    let positions: [Int32]
    /// Positions known to be held by someone.
    var exists: BlockSet
    /// When somebody who holds every block was last heard, at first hand or by gossip.
    var fullHeard: SwarmInstant?
    var isSeeded = false
    /// News of a full holder that the neighbours have not been told.
    var tellsFull = false
    /// Since when, by position; meaningless for those that do not.
    var existsSince: [SwarmInstant]
    var scarceLook: SwarmInstant = 0
    /// Positions held or being read, known at first hand: from this node and its neighbours.
    var claimed: BlockSet
    /// The same from neighbours' gossip, forgotten every two seconds: it is not passed on, so that a claim
    /// dies with its claimant.
    var hearsay: BlockSet
    var hearsaySince: SwarmInstant = 0
    /// What neighbours say of others is not listened to before.
    var gossipBelievedFrom: SwarmInstant = 0
    /// Positions in the window that are read too slowly, or not at all: the others do not wait for them. And since when the
    /// positions of the window are in it; 0: they are not.
    var overdue: BlockSet
    var holeSince: [SwarmInstant]
    var watermark = 0
    var watermarkMoved: SwarmInstant = 0
    /// Positions of the blocks that this node is to read, ascending, and how far it got.
    var owned: [Int32] = []
    var ownedCursor = 0
    var throttledUntil: SwarmInstant = 0
    var wantedHere: [Int] = []

    /// The members of this node's own zone; nil where no zones are known or all are in one.
    var zone: SwarmMembers?
    /// Blocks that this node may take from another zone.
    var crossable: BlockSet
    /// Blocks that this node or a neighbour of its zone holds; kept only in zones.
    var inZone: BlockSet
    /// By position: how many blocks were still to come into the zone when this one began to exist, itself included; -1: not looked at yet.
    var zoneBacklog: [Int32]
    var crossingLook: SwarmInstant = 0

    var uploads = 0
    var pending = SwarmDelta()
    /// Everybody hears the next message, those that hold everything too: this node has come to hold all, or has lost what it held.
    var tellsAll = false
    var announcedLoad = 0
    var lastAnnounced: SwarmInstant = 0
    /// When neighbours were told last how many blocks are held here.
    var lastCounted: SwarmInstant = 0
    var nextTick: SwarmInstant = .max
    var lastUpkeep: SwarmInstant = 0
    /// When a block came.
    var lastArrival: SwarmInstant = 0
    /// When a block came, or an eighth of one in parts: large blocks over a slow link come whole only now and then.
    var lastProgress: SwarmInstant = 0
    var bytesSinceProgress = 0
    /// Fetches from peers given up as too slow since the last block came.
    var givenUp = 0
    var hasReceived = false
    var saidComplete = false

    /// Mean time of a fetch from a peer, request to last byte, in nanoseconds; 0: none yet.
    var meanFetch: Double = 0
    /// Mean of the neighbours' ``SwarmNeighbour/service``.
    var meanService: Double = 0
    /// Bytes per nanosecond that arrive, over about a second.
    var rate: Double = 0
    var bestRate: Double = 0
    /// Until when a block is taken from those that hold it whole alone.
    var relayBarred: [Int: SwarmInstant] = [:]
    /// Requests that wait at a neighbour, on average.
    var meanQueue = 0
    var rateBytes = 0
    var rateSince: SwarmInstant = 0

    var hedgesLeft: Int
    var budgetUsed = 0
    var crawl = SwarmCrawl()
    var storeReadCounts: [SwarmStoreReason: Int] = [:]
    var actions: [SwarmAction] = []

    public init(_ configuration: SwarmPlannerConfiguration) {
        self.configuration = configuration
        let count = configuration.blockCount
        random = SwarmRandom(seed: configuration.seed)
        members = SwarmMembers([], blockCount: 0)
        have = BlockSet(capacity: count)
        demanded = BlockSet(capacity: count)
        exists = BlockSet(capacity: count)
        existsSince = Array(repeating: 0, count: count)
        holeSince = existsSince
        overdue = BlockSet(capacity: count)
        claimed = BlockSet(capacity: count)
        hearsay = BlockSet(capacity: count)
        crossable = BlockSet(capacity: count)
        inZone = crossable
        zoneBacklog = Array(repeating: -1, count: count)
        inFlight = Array(repeating: 0, count: count)
        holders = Array(repeating: 0, count: count)
        candidates = BlockSet(capacity: count)
        if configuration.order.count == count {
            var positions = [Int32](repeating: 0, count: count)
            for (position, block) in configuration.order.enumerated() { positions[Int(block)] = Int32(position) }
            self.positions = positions
        } else {
            positions = []
        }
        hedgesLeft = max(2, Int(configuration.hedgeBudget * Double(count)))
    }

    // MARK: Questions

    /// What this node holds: the body of ``SwarmAction/sendMap(to:)``.
    public var map: SwarmMap {
        SwarmMap(blocks: have, arriving: configuration.relays ? arrivingHere() : [], load: uploads, gossip: gossip(at: lastUpkeep))
    }

    /// Blocks held.
    public var heldCount: Int { have.count }
    public var isComplete: Bool { have.isFull }
    public func holds(_ block: Int) -> Bool { have.contains(block) }
    /// Whether there is, or is about to be, a control connection to `peer`.
    public func isNeighbour(_ peer: SwarmPeer) -> Bool { slots[peer] != nil }
    /// The first block from `start` on that is not held; the number of blocks if there is none.
    public func firstMissingBlock(from start: Int = 0) -> Int { have.firstMissing(from: start) }
    /// Blocks read from the store so far, by reason.
    public var storeReads: [SwarmStoreReason: Int] { storeReadCounts }
    /// One line for a log.
    public var summary: String {
        let peers = neighbours.map { "\($0.peer.number):\($0.blocks.count)/\($0.queue)/\($0.outstanding)" }.joined(separator: " ")
        return "held \(have.count)/\(configuration.blockCount) candidates \(candidates.count) peer \(peerFetchCount) store \(storeFetchCount) watermark \(watermark) shunned \(reputations.values.filter { $0.shunnedUntil > lastUpkeep }.count) [\(peers)]"
    }
    /// How many blocks this node alone may read as not their owner, more while blocks come at a crawl.
    public var budget: Int {
        let share = configuration.originBudget * Double(configuration.blockCount) / Double(max(1, members.count))
        return max(1, Int(share.rounded(.up))) + crawl.grant
    }

    // MARK: Events

    /// The one entry: what happened, and when. Returns what is to be done, in order.
    public mutating func handle(_ event: SwarmEvent, at now: SwarmInstant) -> [SwarmAction] {
        actions.removeAll(keepingCapacity: true)
        switch event {
        case .start(let members):
            started = now
            watermarkMoved = now
            lastArrival = now
            lastProgress = now
            rateSince = now
            adopt(members, at: now)
        case .members(let members): adopt(members, at: now)
        case .connected(let peer): connected(peer, at: now)
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
        case .wanted(let block, _):
            if block >= 0, block < configuration.blockCount, !have.contains(block), inFlight[block] == 0,
                wantedHere.count < 64, !wantedHere.contains(block) { wantedHere.append(block) }
        case .uploads(let count): uploads = count
        case .storeThrottled(let until): throttledUntil = max(throttledUntil, until)
        case .tick: nextTick = .max
        }
        guard started != nil else { return actions }
        if now >= lastUpkeep + Self.upkeepInterval { upkeep(at: now) }
        fill(at: now)
        flush(at: now)
        if have.isFull != saidComplete {
            saidComplete = have.isFull
            if saidComplete { actions.append(.complete) }
        }
        schedule(at: now)
        return actions
    }

    private func blocks(of ranges: [Range<Int>]) -> [Int] {
        ranges.flatMap { Array($0.clamped(to: 0..<configuration.blockCount)) }
    }

    // MARK: Blocks

    @inline(__always) func position(of block: Int) -> Int { positions.isEmpty ? block : Int(positions[block]) }
    @inline(__always) func block(at position: Int) -> Int { positions.isEmpty ? position : Int(configuration.order[position]) }

    mutating func hold(_ block: Int, at now: SwarmInstant) {
        guard have.insert(block) else { return }
        demanded.remove(block)
        removeCandidate(block)
        if zone != nil { inZone.insert(block) }
        markExisting(position(of: block), at: now)
        pending.held.append(block)
        if have.isFull {
            pending.isFull = true
            tellsAll = true
        }
        for record in fetches where record.block == block { cancel(record.id, at: now) }
    }

    private mutating func lose(_ block: Int) {
        guard have.remove(block) else { return }
        pending.held.removeAll { $0 == block }
        pending.lost.append(block)
        pending.isFull = false
        tellsAll = true
        considerCandidate(block)
        ownedCursor = 0
    }

    @inline(__always) mutating func considerCandidate(_ block: Int) {
        guard holders[block] > 0, inFlight[block] == 0, !have.contains(block) else { return }
        candidates.insert(block)
    }

    @inline(__always) mutating func removeCandidate(_ block: Int) { candidates.remove(block) }
}

/// A reader's wish and since when it stands.
struct SwarmDemand: Sendable {
    var block: Int
    var since: SwarmInstant
}
