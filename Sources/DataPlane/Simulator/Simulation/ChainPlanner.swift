import SwarmPlan

/// A chain instead of a swarm: the first node reads the store, every other node takes each block from the node before
/// it, in order. The OSS Connector's version 1.2 passes a model on this way (about one copy from the store; no times
/// are published).
///
/// Assumed, since it is not published: new nodes go to the end; eight blocks are asked for at once; a node whose
/// predecessor's connection breaks, or from which no byte has come for ten seconds, takes the one before that, and the
/// store when there is none. In its first three seconds it waits for a predecessor that has not started yet.
struct ChainPlanner: Sendable {
    private let me: SwarmPeer
    private(set) var have: BlockSet
    /// The node before this one; nil: this node reads the store.
    private var source: SwarmPeer?
    private var nodes: [SwarmPeer] = []
    private var skipped: Set<SwarmPeer> = []
    private var connections: Set<SwarmPeer> = []
    private var fetches: [(id: SwarmFetch, block: Int)] = []
    private var nextFetch: UInt64 = 1
    private var lastByte: SwarmInstant = 0
    private var heldBackUntil: SwarmInstant = 0
    private var nextTick: SwarmInstant = 0
    private var isStarted = false
    private var started: SwarmInstant = 0
    private var reconnects = false
    private var saidComplete = false
    private(set) var storeReads = 0
    private var actions: [SwarmAction] = []

    private static let blocksAtOnce = 8
    private static let patience: SwarmNanoseconds = .seconds(10)
    private static let beginners: SwarmNanoseconds = .seconds(3)

    init(me: SwarmPeer, blockCount: Int) {
        self.me = me
        have = BlockSet(capacity: blockCount)
    }

    func isNeighbour(_ peer: SwarmPeer) -> Bool { connections.contains(peer) }

    mutating func handle(_ event: SwarmEvent, at now: SwarmInstant) -> [SwarmAction] {
        actions = []
        switch event {
        case .start(let members):
            isStarted = true
            started = now
            lastByte = now
            adopt(members)
        case .members(let members): adopt(members)
        case .connected(let peer): connections.insert(peer)
        case .disconnected(let peer):
            if connections.contains(peer) || now > started + Self.beginners {
                lost(peer)
            } else if peer == source {
                reconnects = true
            }
        case .progress: lastByte = now
        case .received(let id):
            lastByte = now
            if let block = end(id) { have.insert(block) }
        case .failed(let id, _):
            _ = end(id)
            heldBackUntil = now + .milliseconds(200)
        case .held(let ranges):
            for range in ranges { for block in range { have.insert(block) } }
        case .tick:
            nextTick = 0
            if reconnects, let source { actions.append(.connect(source)) }
            reconnects = false
        default: break
        }
        guard isStarted else { return actions }
        if let source, !fetches.isEmpty, now >= lastByte + Self.patience {
            lastByte = now
            lost(source)
        }
        ask(at: now)
        if have.isFull, !saidComplete {
            saidComplete = true
            actions.append(.complete)
        }
        if !have.isFull, now >= nextTick {
            nextTick = now + .milliseconds(200)
            actions.append(.tick(at: nextTick))
        }
        return actions
    }

    private mutating func adopt(_ members: SwarmMembers) {
        nodes = members.all.sorted()
        if let source, !nodes.contains(source) { lost(source) } else if source == nil, fetches.isEmpty { choose() }
    }

    private mutating func lost(_ peer: SwarmPeer) {
        connections.remove(peer)
        skipped.insert(peer)
        guard peer == source else { return }
        for fetch in fetches { actions.append(.cancel(fetch.id)) }
        fetches = []
        choose()
    }

    private mutating func choose() {
        source = nodes.last { $0 < me && !skipped.contains($0) }
        if let source, !connections.contains(source) { actions.append(.connect(source)) }
    }

    private mutating func end(_ id: SwarmFetch) -> Int? {
        fetches.firstIndex { $0.id == id }.map { fetches.remove(at: $0).block }
    }

    private mutating func ask(at now: SwarmInstant) {
        var block = have.firstMissing(from: 0)
        while fetches.count < Self.blocksAtOnce, block < have.capacity, now >= heldBackUntil {
            if !fetches.contains(where: { $0.block == block }) {
                let id = SwarmFetch(nextFetch)
                nextFetch += 1
                fetches.append((id, block))
                if let source {
                    actions.append(.fetchFromPeer(id, source, block: block, urgent: false))
                } else {
                    storeReads += 1
                    actions.append(.fetchFromStore(id, block: block, reason: .owner))
                }
            }
            block = have.firstMissing(from: block + 1)
        }
    }
}

/// How nodes of a simulation get the model.
public enum SimulationStrategy: String, Sendable, CaseIterable {
    /// ``SwarmPlanner``.
    case swarm
    /// Each node from the node before it; see `ChainPlanner`.
    case chain
}

/// The planner of one model on one node.
struct SimulatedPlanner: Sendable {
    private var swarm: SwarmPlanner
    private var chain: ChainPlanner?

    init(_ configuration: SwarmPlannerConfiguration, _ strategy: SimulationStrategy) {
        swarm = SwarmPlanner(configuration)
        chain = strategy == .chain ? ChainPlanner(me: configuration.me, blockCount: configuration.blockCount) : nil
    }

    mutating func handle(_ event: SwarmEvent, at now: SwarmInstant) -> [SwarmAction] {
        chain?.handle(event, at: now) ?? swarm.handle(event, at: now)
    }

    var map: SwarmMap { swarm.map }
    var summary: String { swarm.summary }
    var isComplete: Bool { chain?.have.isFull ?? swarm.isComplete }
    var storeReads: [SwarmStoreReason: Int] { chain.map { [.owner: $0.storeReads] } ?? swarm.storeReads }
    func holds(_ block: Int) -> Bool { chain?.have.contains(block) ?? swarm.holds(block) }
    func isNeighbour(_ peer: SwarmPeer) -> Bool { chain?.isNeighbour(peer) ?? swarm.isNeighbour(peer) }
    func firstMissingBlock(from start: Int = 0) -> Int {
        chain?.have.firstMissing(from: start) ?? swarm.firstMissingBlock(from: start)
    }
    func checkInvariants() { swarm.checkInvariants() }
}
