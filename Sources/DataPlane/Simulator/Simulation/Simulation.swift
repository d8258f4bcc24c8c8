// SwarmSimulation: the swarm's planner on simulated time, with links, racks and a store.
//
// - `Simulation` runs one scenario. Its extensions move bytes, make the scenario's events and compute bounds.
// - `SimulationParameters` with a `Scenario` say what is simulated, and `SimulationReport` has the results.
// - `SimulatedPlanner` is the planner of a node: the swarm's own, or `ChainPlanner`, to compare.
// - `DirectDownloads` computes the same nodes without a swarm.
// - `EventQueue` orders events by time; of equal times the one that was scheduled first comes first.
// Invariants: equal parameters give equal results, so nothing here reads a clock or draws from another seed.
// Left to others: all decisions of the swarm (SwarmPlan), options and output (Simulator).

import DequeModule
import SwarmPlan

/// The planner on simulated time.
///
/// Every node's uplink and downlink, every rack's uplink and downlink, and the store are servers with a rate. Blocks
/// move in segments. An uplink sends one segment after the other, in turn for the requests that it serves at once
/// (``UploadQueue``). Each segment then passes the racks' links and the receiver's downlink in the order of arrival. At
/// most ``window`` segments of a flow are in flight, as with TCP. A relay passes on each segment of a block that is
/// still arriving. Control messages cost their bytes on the uplink and the latency.
public struct Simulation {
    public let parameters: SimulationParameters
    var queue = EventQueue()
    var now: UInt64 = 0
    var nodes: [SimulatedNode] = []
    var planners: [SimulatedPlanner] = []
    var plannerNode: [Int32] = []
    var plannerModel: [Int8] = []
    var plannerTick: [UInt64] = []
    var models = 1
    var flows: [Flow] = []
    var messages: [Message] = []
    var freeMessages: [Int32] = []
    var random: SwarmRandom
    var members: [SwarmMembers] = []
    var alive: [Int] = []
    /// Changes of uploads that the sources' planners have yet to hear of.
    var uploadNews: [(flow: Int32, change: SwarmUpload)] = []
    var steps: [(inout Simulation) -> Void] = []
    var unfinished = 0

    // The store is one more sender.
    var storeRate: Double
    /// Its rates so far, in bytes a second, and the seconds from which each held.
    var storeRates: [(from: Double, rate: Double)]
    var storeSending = false
    var storeReady = Deque<Int32>()
    // Racks.
    var rackUp: [UInt64] = []
    var rackDown: [UInt64] = []
    var rackRate = 0.0
    var isPartitioned = false

    public internal(set) var report: SimulationReport
    let window: UInt8 = 3

    struct Message {
        var from: Int32 = 0
        var planner: Int32 = 0
        var map: SwarmMap?
        var delta: SwarmDelta?
        var to: [SwarmPeer] = []
    }

    public init(_ parameters: SimulationParameters) {
        self.parameters = parameters
        random = SwarmRandom(seed: parameters.seed &* 0x5851_f42d_4c95_7f2d &+ 7)
        storeRate = parameters.storeRate
        storeRates = [(0, storeRate)]
        report = SimulationReport(parameters)
    }

    /// Runs to the end, or until `limit` seconds of simulated time have passed.
    public mutating func run(limit seconds: Double = 0) -> SimulationReport {
        arrange()
        let limit = UInt64((seconds > 0 ? seconds : parameters.wireTime * 40 + 120) * 1e9)
        while unfinished > 0, let event = queue.next() {
            precondition(event.time >= now, "an event was scheduled for a time that has passed")
            now = event.time
            if now > limit { break }
            report.events += 1
            carry(event)
        }
        finish()
        return report
    }

    private mutating func carry(_ event: EventQueue.Entry) {
        let first = Int(event.first)
        let second = Int(event.second)
        switch event.kind {
        case .sent: sent(by: first, flow: second)
        case .delivered: delivered(second)
        case .requested: requested(second)
        case .refused: refused(second)
        case .tick:
            guard plannerTick[first] == now, nodes[Int(plannerNode[first])].isAlive else { return }
            plannerTick[first] = .max
            tell(first, .tick)
        case .message: deliver(message: second)
        case .connected: tell(first, .connected(SwarmPeer(second)))
        case .disconnected: if nodes[Int(plannerNode[first])].isAlive { tell(first, .disconnected(SwarmPeer(second))) }
        case .declined: if nodes[Int(plannerNode[first])].isAlive { tell(first, .declined(SwarmPeer(second))) }
        case .step: steps[first](&self)
        }
        tellUploads()
    }

    private mutating func finish() {
        let (direct, unavoidable) = (directDownloads(), unavoidableSeconds())
        report.models = models
        report.simulatedSeconds = Double(now) / 1e9
        for (index, node) in nodes.enumerated() where node.started > 0 || node.isAlive {
            guard node.isAlive else {
                report.died += 1
                continue
            }
            guard node.finished > 0 else {
                report.unfinished += 1
                continue
            }
            // A seeder had everything at its start.
            if node.planners.isEmpty || node.isSeeder { continue }
            let started = Double(node.started) / 1e9
            report.finish(
                seconds: Double(node.finished - min(node.finished, node.started)) / 1e9,
                wire: parameters.modelBytes * Double(models) / node.down, unavoidable: unavoidable[index],
                direct: direct[index] - started)
        }
        for planner in planners {
            for (reason, count) in planner.storeReads { report.storeReads[reason, default: 0] += count }
        }
    }

    // MARK: Planners

    mutating func tell(_ planner: Int, _ event: SwarmEvent) {
        report.plannerEvents += 1
        let actions = planners[planner].handle(event, at: now)
        if report.plannerEvents % parameters.eventsBetweenChecks == 0 { planners[planner].checkInvariants() }
        for action in actions { perform(action, planner: planner) }
    }

    func plannerOf(node: Int, model: Int) -> Int? {
        nodes[node].planners.indices.contains(model) ? nodes[node].planners[model] : nil
    }

    private mutating func perform(_ action: SwarmAction, planner: Int) {
        let node = Int(plannerNode[planner])
        let model = Int(plannerModel[planner])
        switch action {
        case .tick(let at):
            plannerTick[planner] = max(at, now)
            queue.schedule(.tick, at: max(at, now), planner)
        case .connect(let peer): connect(planner: planner, node: node, to: peer.index, model: model)
        case .disconnect(let peer):
            if let other = plannerOf(node: peer.index, model: model) {
                queue.schedule(.declined, at: now + parameters.latency, other, node)
            }
        case .sendMap(let peer):
            let map = planners[planner].map
            report.controlBytes += map.encoded().count + 2 + map.blocks.count * 4
            send(Message(from: Int32(node), planner: Int32(model), map: map, to: [peer]))
        case .announce(let delta, let peers):
            let bytes = (delta.encoded().count + 1 + delta.held.count * 4) * peers.count
            report.controlBytes += bytes
            report.controlMessages += peers.count
            nodes[node].debt += bytes + peers.count * 66
            send(Message(from: Int32(node), planner: Int32(model), delta: delta, to: peers))
        case .fetchFromStore(let fetch, let block, _):
            let flow = addFlow(
                source: -1, destination: node, planner: planner, block: block, fetch: fetch, urgent: false)
            queue.schedule(.requested, at: now + parameters.storeLatency, node, flow)
        case .fetchFromPeer(let fetch, let peer, let block, let urgent):
            report.requestBytes += parameters.requestBytes
            let flow = addFlow(
                source: peer.index, destination: node, planner: planner, block: block, fetch: fetch, urgent: urgent)
            queue.schedule(.requested, at: now + parameters.latency, node, flow)
        case .cancel(let fetch):
            for flow in nodes[node].incoming
            where flows[Int(flow)].fetch == fetch && flows[Int(flow)].planner == planner {
                end(Int(flow))
                break
            }
        case .ban: report.bans += 1
        case .complete: completed(planner)
        }
    }

    private mutating func completed(_ planner: Int) {
        let node = Int(plannerNode[planner])
        guard nodes[node].finished == 0, nodes[node].planners.allSatisfy({ planners[$0].isComplete }) else { return }
        nodes[node].finished = now
        unfinished -= 1
    }

    // MARK: Control connections

    func reaches(_ left: Int, _ right: Int) -> Bool {
        nodes[left].isAlive && nodes[right].isAlive && (!isPartitioned || nodes[left].side == nodes[right].side)
    }

    private mutating func connect(planner: Int, node: Int, to peer: Int, model: Int) {
        let arrival = now + 2 * parameters.latency
        guard peer < nodes.count, reaches(node, peer), let other = plannerOf(node: peer, model: model) else {
            let isUnreachable = peer < nodes.count && nodes[peer].isAlive && isPartitioned
            queue.schedule(.disconnected, at: now + (isUnreachable ? .seconds(1) : arrival - now), planner, peer)
            return
        }
        queue.schedule(.connected, at: arrival, planner, peer)
        queue.schedule(.connected, at: arrival, other, node)
    }

    private mutating func send(_ message: Message) {
        let index: Int
        if let free = freeMessages.popLast() {
            index = Int(free)
            messages[index] = message
        } else {
            index = messages.count
            messages.append(message)
        }
        queue.schedule(.message, at: now + parameters.latency, 0, index)
    }

    private mutating func deliver(message index: Int) {
        let message = messages[index]
        messages[index] = Message()
        freeMessages.append(Int32(index))
        let from = Int(message.from)
        for peer in message.to {
            guard reaches(from, peer.index), let planner = plannerOf(node: peer.index, model: Int(message.planner))
            else { continue }
            if let delta = message.delta { tell(planner, .peerDelta(SwarmPeer(from), delta)) }
            if let map = message.map { tell(planner, .peerMap(SwarmPeer(from), map)) }
        }
    }
}
