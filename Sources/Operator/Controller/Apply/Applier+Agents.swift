internal import AgentAPI
internal import CRD
internal import Kubernetes

extension Applier {
    /// How long a "no room" stands before the agent is asked again, should nothing be heard of more room before.
    private static let shortageTime: Duration = .seconds(60)

    func prepare(_ node: String, _ definition: CacheDefinition, uid: String) async {
        guard let address = poller.address(node) else { return }
        do throws(AgentFailure) {
            var report: CacheReport
            do throws(AgentFailure) {
                report = try await agents.prepare(uid, definition, on: address)
            } catch where error.code == .sourceImmutable {
                // The derived endpoint changed, or it was made for another medium: what it holds is of no use any more.
                try await agents.evict(uid, on: address)
                report = try await agents.prepare(uid, definition, on: address)
            }
            world.remember(uid: uid) { memory in
                memory.sent[node] = definition.stableHash
                // An agent that does not know callers would be told for ever.
                let isInForce = definition.callers.map { $0.hasKeys ? report.callersDigest == $0.digest : report.callersDigest != nil } ?? true
                memory.refusedNodes[node] =
                    isInForce ? nil : .next(after: memory.refusedNodes[node], message: "the agent does not verify callers; update it", now: .now)
                if definition.pinned { memory.shortages[node] = nil }
            }
            wake(world.set(report, node: node))
        } catch {
            remember(error, uid: uid, node: node, needed: definition.sizeBytes)
        }
    }

    private func remember(_ failure: AgentFailure, uid: String, node: String, needed: Int64) {
        switch failure {
        case .unreachable(let why):
            wake(world.setUnreachable(node, why: why, now: .now))
            poller.want(node)
        case .refused(_, _, _, let neededBytes, let freeBytes, _) where failure.code == .insufficientCapacity:
            world.remember(uid: uid) { memory in
                memory.shortages[node] = Memory.Shortage(
                    needed: neededBytes ?? needed, free: freeBytes ?? 0, until: .now + Self.shortageTime)
                memory.refusedNodes[node] = nil
            }
            if let key = world.key(uid: uid) { wake([key]) }
        case .refused, .malformed:
            world.remember(uid: uid) { memory in
                memory.refusedNodes[node] = .next(after: memory.refusedNodes[node], message: failure.description, now: .now)
            }
            if let key = world.key(uid: uid) { wake([key]) }
        }
        logger.warning("an agent did not prepare a cache", metadata: ["node": "\(node)", "reason": "\(failure)"])
    }

    func evict(_ node: String, uid: String) async {
        guard let address = poller.address(node) else { return }
        do throws(AgentFailure) {
            try await agents.evict(uid, on: address)
            world.remember(uid: uid) { $0.evictionRefused[node] = nil }
            wake(world.removeReport(uid: uid, node: node))
        } catch {
            switch error {
            case .unreachable(let why): wake(world.setUnreachable(node, why: why, now: .now))
            case .refused(_, _, _, _, _, let users) where error.code == .inUse:
                world.remember(uid: uid) { $0.evictionRefused[node] = nil }
                world.setUsers(max(1, users ?? 1), uid: uid, node: node)
            case .refused, .malformed:
                world.remember(uid: uid) { memory in
                    memory.evictionRefused[node] = .next(
                        after: memory.evictionRefused[node], message: Words.line("\(error)", limit: 300), now: .now)
                }
                if let key = world.key(uid: uid) { wake([key]) }
                logger.warning("an agent did not evict a cache", metadata: ["node": "\(node)", "reason": "\(error)"])
            }
        }
    }

    /// The copy first: a Job that went before it could be made anew and find everything there.
    func refresh(_ node: String, _ job: JobView?, cache: ModelCache) async throws {
        func say(_ type: EventType, _ reason: String, _ message: String) {
            recorder.record(type, reason: reason, message, regarding: cache.reference)
        }
        guard let address = poller.address(node) else {
            say(.warning, "EvictionFailed", "no agent is known on node \"\(Words.line(node, limit: 63))\"; nothing was evicted there")
            return
        }
        do throws(AgentFailure) {
            try await agents.evict(cache.uid, on: address)
        } catch {
            if error.code == .inUse, case .refused(_, _, _, _, _, let users) = error {
                say(.warning, "EvictionBlocked", "\(node): \(Words.count(users ?? 1, "reader")) hold the model open; its copy stays")
            } else {
                say(.warning, "EvictionFailed", "\(node): \(error)")
            }
            return
        }
        if let job { try await delete(job) }
        _ = world.removeReport(uid: cache.uid, node: node)
        say(.normal, "Evicted", "the copy on \(node) was dropped")
    }
}
