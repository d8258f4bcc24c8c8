internal import AgentAPI
internal import Kubernetes
internal import Logging

/// Gives agents their orders beside the reconciles, as ``OrderBook`` says: an agent that does not answer holds up
/// nobody else.
///
/// The outcome of an order, also a refusal, goes into the world and wakes the ModelCache; the next plan deals with it.
struct OrderRunner: Sendable {
    private let agents: AgentClient
    private let poller: AgentPoller
    private let world: World
    private let recorder: EventRecorder
    private let logger: Logger
    /// The keys given need another plan.
    private let wake: @Sendable ([ObjectKey]) -> Void
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init(
        agents: AgentClient, poller: AgentPoller, world: World, recorder: EventRecorder, logger: Logger,
        wake: @escaping @Sendable ([ObjectKey]) -> Void
    ) {
        self.agents = agents
        self.poller = poller
        self.world = world
        self.recorder = recorder
        self.logger = logger
        self.wake = wake
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// No effect when there is an order about this ModelCache on this node already: its end makes another plan.
    func start(_ order: Order) {
        if world.add(order) { signal.yield() }
    }

    /// Until cancelled. Then it waits for no agent.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in signals {
                while let order = world.nextOrder() {
                    group.addTask {
                        await carryOut(order)
                        signal.yield()
                    }
                }
            }
            group.cancelAll()
        }
    }

    private func carryOut(_ order: Order) async {
        guard let address = poller.address(order.node) else {
            failed(order, nil, "no agent is known on node \"\(Words.line(order.node, limit: 63))\"")
            return wake(world.ended(order))
        }
        do throws(AgentFailure) {
            switch order.kind {
            case .prepare(let definition, let generation):
                prepared(order, definition, generation, try await prepare(order, definition, address))
            case .evict(let force):
                try await agents.evict(order.uid, force: force, on: address)
                evicted(order)
            case .refresh, .sweep:
                try await agents.evict(order.uid, on: address)
                evicted(order)
            }
            wake(world.answered(order))
        } catch {
            guard !Task.isCancelled else { return wake(world.ended(order)) }
            failed(order, error, "\(error)")
            guard case .unreachable(let why) = error else { return wake(world.answered(order)) }
            // Whether it answers at all, its next report tells.
            poller.want(order.node)
            let (wakes, dropped) = world.unanswered(order, why: why, now: .now)
            for other in dropped { failed(other, error, why) }
            wake(wakes)
        }
    }

    private func prepare(_ order: Order, _ definition: CacheDefinition, _ address: AgentAddress)
        async throws(AgentFailure) -> CacheReport
    {
        do throws(AgentFailure) {
            return try await agents.prepare(order.uid, definition, on: address)
        } catch  where error.code == .sourceImmutable {
            // The derived endpoint changed, or it was made for another medium: what it holds is of no use any more.
            try await agents.evict(order.uid, on: address)
            return try await agents.prepare(order.uid, definition, on: address)
        }
    }

    private func prepared(_ order: Order, _ definition: CacheDefinition, _ generation: Int64, _ report: CacheReport) {
        let node = order.node
        // An agent that does not know callers would be told for ever.
        let isInForce =
            definition.callers.map {
                $0.hasKeys ? report.callersDigest == $0.digest : report.callersDigest != nil
            } ?? true
        let hash = definition.stableHash
        world.remember(uid: order.uid) { memory in
            memory.sent[node] = hash
            // An accepted unpinned definition does not end the refusal of a pinned one.
            if definition.pinned || !(memory.refusals[node]?.isPinned ?? false) { memory.refusals[node] = nil }
        }
        if !isInForce {
            refuse(.other, "the agent does not verify callers; update it", order, definition, generation)
        }
        _ = world.set(report, node: node)
    }

    private func evicted(_ order: Order) {
        let node = order.node
        _ = world.removeReport(uid: order.uid, node: node)
        switch order.kind {
        case .prepare: break
        case .evict: world.remember(uid: order.uid) { $0.evictionRefused[node] = nil }
        case .refresh(let request, let reference):
            world.remember(uid: order.uid) { $0.refreshed(node, isDropped: true, request: request) }
            recorder.record(
                .normal, reason: "Evicted", "the copy on \(node) was dropped", regarding: reference)
        case .sweep(let name):
            logger.notice(
                "removed a copy whose ModelCache is gone",
                metadata: ["node": "\(node)", "modelcache": "\(name)", "uid": "\(order.uid)"])
        }
    }

    /// - Parameter failure: nil: the node has no agent.
    private func failed(_ order: Order, _ failure: AgentFailure?, _ why: String) {
        let node = order.node
        switch order.kind {
        case .prepare(let definition, let generation):
            guard let failure else { return }
            let kind: AgentRefusal.Kind =
                switch failure {
                case .refused(_, _, let error) where failure.code == .insufficientCapacity:
                    .capacity(needed: error.neededBytes ?? definition.sizeBytes, free: error.freeBytes ?? 0)
                case .refused, .malformed: .other
                case .unreachable: .unanswered
                }
            refuse(kind, why, order, definition, generation)
            logger.warning("an agent did not prepare a cache", metadata: ["node": "\(node)", "reason": "\(why)"])
        case .evict:
            guard let failure else { return }
            if failure.code == .inUse {
                world.remember(uid: order.uid) { $0.evictionRefused[node] = nil }
                return world.setUsers(max(1, failure.error?.users ?? 1), uid: order.uid, node: node)
            }
            let message = Words.line(why, limit: 300)
            world.remember(uid: order.uid) { memory in
                memory.evictionRefused[node] = .next(
                    after: memory.evictionRefused[node], message: message, now: .now)
            }
            logger.warning("an agent did not evict a cache", metadata: ["node": "\(node)", "reason": "\(why)"])
        case .refresh(let request, let reference):
            world.remember(uid: order.uid) { $0.refreshed(node, isDropped: false, request: request) }
            if failure?.code == .inUse {
                let readers = Words.count(failure?.error?.users ?? 1, "reader")
                recorder.record(
                    .warning, reason: "EvictionBlocked", "\(node): \(readers) hold the model open; its copy stays",
                    regarding: reference)
            } else {
                recorder.record(.warning, reason: "EvictionFailed", "\(node): \(why)", regarding: reference)
            }
        case .sweep:
            logger.info(
                "a copy whose ModelCache is gone stays for now", metadata: ["node": "\(node)", "reason": "\(why)"])
        }
    }

    private func refuse(
        _ kind: AgentRefusal.Kind, _ message: String, _ order: Order, _ definition: CacheDefinition, _ generation: Int64
    ) {
        let node = order.node
        let agent = world.agent(node)
        let circumstances = AgentRefusal.Circumstances(
            generation: generation, sizeBytes: definition.sizeBytes, callersDigest: definition.callers?.digest,
            agentInstance: agent?.instanceID ?? "")
        let free = agent?.capacity(definition.medium)?.freeBytes ?? 0
        world.remember(uid: order.uid) { memory in
            memory.refusals[node] = AgentRefusal(
                kind, after: memory.refusals[node], isPinned: definition.pinned, circumstances: circumstances,
                freeBytes: free, message: message, now: .now)
        }
    }
}
