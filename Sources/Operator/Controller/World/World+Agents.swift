internal import CRD
internal import AgentAPI
internal import Kubernetes

extension World {
    /// What a changed report means for who listens: at once, or as progress that may wait for more.
    struct Wakes {
        var urgent: [ObjectKey] = []
        var progress: [ObjectKey] = []
    }

    /// An agent's pod appeared on a node.
    func addAgent(_ node: String, now: WallTime) -> [ObjectKey] {
        state.withLock { state in
            guard state.agents[node] == nil else { return [] }
            state.agents[node] = AgentView(node: node, reach: .unknown(since: now))
            return Array(state.caches.keys)
        }
    }

    /// Its pod is gone; what it held is reported again by its successor.
    func removeAgent(_ node: String) -> [ObjectKey] {
        state.withLock { state in
            guard state.agents.removeValue(forKey: node) != nil else { return [] }
            for uid in Array(state.reports.keys) {
                state.reports[uid]?[node] = nil
                if state.reports[uid]?.isEmpty ?? false { state.reports[uid] = nil }
            }
            return Array(state.caches.keys)
        }
    }

    /// - Parameter askedAt: when the question left; the answer is at least as new.
    func set(_ report: AgentReport, node: String, askedAt: WallTime) -> Wakes {
        state.withLock { state in
            guard let before = state.agents[node] else { return Wakes() }
            var view = AgentView(
                node: node, reach: .reachable, instanceID: report.instanceID, reportedAt: askedAt,
                memory: AgentView.Room(report.memory, caches: report.caches.filter { $0.medium == .memory }),
                disk: report.disk.map { AgentView.Room($0, caches: report.caches.filter { $0.medium == .disk }) })
            if let last = before.reportedAt, last > askedAt { view.reportedAt = last }
            state.agents[node] = view
            var wakes = Wakes()
            // A new face, or one that came back: whoever waited for it looks again. So does who waits for room.
            let isNews = before.reach != .reachable || before.instanceID != view.instanceID
            if isNews { wakes.urgent = Array(state.caches.keys) }
            let hasMoreRoom = view.memory.free > before.memory.free || (view.disk?.free ?? 0) > (before.disk?.free ?? 0)
            var present: Set<String> = []
            for cache in report.caches {
                present.insert(cache.uid)
                let old = state.reports[cache.uid]?[node]
                guard old != cache else {
                    if !isNews, let key = state.keys[cache.uid], state.hasEndedJob(cache.uid, of: key, node: node) { wakes.progress.append(key) }
                    continue
                }
                state.reports[cache.uid, default: [:]][node] = cache
                guard !isNews, let key = state.keys[cache.uid] else { continue }
                if let old, old.isSame(as: cache) { wakes.progress.append(key) } else { wakes.urgent.append(key) }
            }
            for (uid, nodes) in state.reports where nodes[node] != nil && !present.contains(uid) {
                state.reports[uid]?[node] = nil
                if state.reports[uid]?.isEmpty ?? false { state.reports[uid] = nil }
                if !isNews, let key = state.keys[uid] { wakes.urgent.append(key) }
            }
            if hasMoreRoom, !isNews {
                for (uid, memory) in state.memories where memory.shortages[node] != nil || state.isShort(uid) {
                    if let key = state.keys[uid] { wakes.progress.append(key) }
                }
            }
            return wakes
        }
    }

    /// The answer to an order of ours.
    func set(_ report: CacheReport, node: String) -> [ObjectKey] {
        state.withLock { state in
            guard state.agents[node] != nil else { return [] }
            state.reports[report.uid, default: [:]][node] = report
            return state.keys[report.uid].map { [$0] } ?? []
        }
    }

    func removeReport(uid: String, node: String) -> [ObjectKey] {
        state.withLock { state in
            state.reports[uid]?[node] = nil
            if state.reports[uid]?.isEmpty ?? false { state.reports[uid] = nil }
            return state.keys[uid].map { [$0] } ?? []
        }
    }

    func setUsers(_ users: Int, uid: String, node: String) {
        state.withLock { $0.reports[uid]?[node]?.users = users }
    }

    func setUnreachable(_ node: String, why: String, now: WallTime) -> [ObjectKey] {
        state.withLock { state in
            guard let before = state.agents[node] else { return [] }
            if case .unreachable = before.reach { return [] }
            state.agents[node]?.reach = .unreachable(since: now, why: why)
            return Array(state.caches.keys)
        }
    }

    /// Caches that an agent reports and that no ModelCache stands for.
    func orphans(on report: AgentReport, namespace: String?) -> [CacheReport] {
        state.withLock { state in
            report.caches.filter { state.keys[$0.uid] == nil && (namespace == nil || $0.namespace == namespace) }
        }
    }
}

extension World.State {
    /// A Job whose outcome the next plan reads off the agent's report.
    fileprivate func hasEndedJob(_ uid: String, of key: ObjectKey, node: String) -> Bool {
        guard reports[uid]?[node]?.state != .ready else { return false }
        return jobs[CacheID(namespace: key.namespace, uid: uid)]?.values.contains { $0.view.node == node && $0.view.phase == .complete } ?? false
    }

    fileprivate func isShort(_ uid: String) -> Bool {
        guard let key = keys[uid] else { return false }
        return caches[key]?.status?.condition(.capacityExceeded)?.status == .true
    }
}

extension CacheReport {
    /// Equal but for bytes that moved.
    fileprivate func isSame(as other: CacheReport) -> Bool {
        state == other.state && digest == other.digest && pinned == other.pinned && (users > 0) == (other.users > 0)
            && error == other.error && source == other.source && medium == other.medium && callersDigest == other.callersDigest
    }
}
