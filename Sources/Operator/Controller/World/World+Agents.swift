internal import CRD
package import AgentAPI
package import Kubernetes

extension World {
    /// The ModelCaches that a changed report wakes: at once, or as progress that may wait for more.
    package struct Wakes {
        package var urgent: [ObjectKey] = []
        package var progress: [ObjectKey] = []
    }

    /// An agent's pod appeared on a node. One that follows another takes over what that one reported, and its silence.
    ///
    /// - Parameter drains: how long the pod may take to end; nil: it is not asked to.
    package func addAgent(_ node: String, drains: Duration?, now: WallTime) -> [ObjectKey] {
        state.withLock { state in
            guard let before = state.agents[node] else {
                var view = AgentView(node: node, reach: .unknown(since: now))
                view.drainsUntil = drains.map { now + $0 }
                state.agents[node] = view
                state.unheard.insert(node)
                return state.concerned(by: node)
            }
            state.agents[node]?.drainsUntil = drains.map { before.drainsUntil ?? now + $0 }
            if case .missing(let since) = before.reach {
                state.agents[node]?.reach = .unreachable(since: since, why: "its new pod has not answered yet")
            }
            return []
        }
    }

    /// Its pod is gone. Its caches lie on the node still, for its successor to report.
    func removeAgent(_ node: String, now: WallTime) -> [ObjectKey] {
        state.withLock { state in
            guard let before = state.agents[node] else { return [] }
            guard state.nodes[node] != nil, before.reportedAt != nil else {
                let concerned = state.concerned(by: node)
                state.forgetAgent(node)
                return concerned + state.heard(of: node)
            }
            let isDrained = before.drainsUntil != nil
            state.agents[node]?.reach = .missing(since: isDrained ? now : before.reach.silentSince ?? now)
            state.agents[node]?.drainsUntil = nil
            return state.concerned(by: node) + state.heard(of: node)
        }
    }

    /// - Parameter askedAt: when the question left; the answer is at least as new.
    package func set(_ report: AgentReport, node: String, askedAt: WallTime) -> Wakes {
        state.withLock { state in
            guard let before = state.agents[node] else { return Wakes() }
            // The last answer of a pod that is gone.
            if case .missing = before.reach { return Wakes() }
            var view = AgentView(
                node: node, reach: .reachable, instanceID: report.instanceID, reportedAt: askedAt,
                memory: Capacity(report.memory, caches: report.caches.filter { $0.medium == .memory }),
                disk: report.disk.map { Capacity($0, caches: report.caches.filter { $0.medium == .disk }) })
            if let last = before.reportedAt, last > askedAt { view.reportedAt = last }
            view.drainsUntil = before.drainsUntil
            if before.instanceID == view.instanceID { view.unanswered = before.unanswered }
            state.agents[node] = view
            var wakes = Wakes()
            // A new or returning agent wakes every ModelCache that waits for it or for capacity there.
            let isNews = before.reach != .reachable || before.instanceID != view.instanceID
            if isNews { wakes.urgent = state.concerned(by: node) + state.heard(of: node) }
            var present = state.answers.reported(node: node, askedAt: askedAt)
            for cache in report.caches where present.insert(cache.uid).inserted {
                let old = state.reports[cache.uid]?[node]
                guard old != cache else {
                    if !isNews, let key = state.keys[cache.uid], state.hasEndedJob(cache.uid, of: key, node: node) {
                        wakes.progress.append(key)
                    }
                    continue
                }
                state.setReport(cache, node: node)
                guard let key = state.keys[cache.uid] else { continue }
                if let old, old.isSame(as: cache) { wakes.progress.append(key) } else { wakes.urgent.append(key) }
            }
            for uid in (state.reported[node] ?? []).subtracting(present) {
                state.removeReport(uid: uid, node: node)
                if let key = state.keys[uid] { wakes.urgent.append(key) }
            }
            if !isNews { wakes.progress += state.relieved(on: node, before: before, after: view) }
            return wakes
        }
    }

    /// The answer to an order of ours.
    func set(_ report: CacheReport, node: String) -> [ObjectKey] {
        state.withLock { state in
            guard state.agents[node] != nil else { return [] }
            state.setReport(report, node: node)
            state.answers.answered(uid: report.uid, node: node, now: .now)
            return state.keys[report.uid].map { [$0] } ?? []
        }
    }

    /// The agent evicted the cache by an order of ours.
    func removeReport(uid: String, node: String) -> [ObjectKey] {
        state.withLock { state in
            state.answers.answered(uid: uid, node: node, now: .now)
            state.removeReport(uid: uid, node: node)
            return state.keys[uid].map { [$0] } ?? []
        }
    }

    func setUsers(_ users: Int, uid: String, node: String) {
        state.withLock { $0.setUsers(users, uid: uid, node: node) }
    }

    package func setUnreachable(_ node: String, why: String, now: WallTime) -> [ObjectKey] {
        state.withLock { state in
            guard let before = state.agents[node] else { return [] }
            if before.reach.silentSince != nil { return [] }
            state.agents[node]?.reach = .unreachable(since: now, why: why)
            return state.concerned(by: node) + state.heard(of: node)
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
        return jobs[CacheID(namespace: key.namespace, uid: uid)]?.values.contains {
            $0.view.node == node && $0.view.phase == .complete
        } ?? false
    }

    /// The ModelCaches that had no capacity on a node and have it now.
    fileprivate func relieved(on node: String, before: AgentView, after: AgentView) -> [ObjectKey] {
        func free(_ agent: AgentView, _ medium: CacheDefinition.Medium) -> Int64 {
            agent.capacity(medium)?.freeBytes ?? 0
        }
        guard [.memory, .disk].contains(where: { free(after, $0) > free(before, $0) }) else { return [] }
        return keys.compactMap { uid, key in
            guard case .valid(let spec)? = readings[uid] else { return nil }
            let now = free(after, spec.medium)
            if let refusal = memories[uid]?.refusals[node], refusal.hasCapacity(now) { return key }
            let needed = caches[key]?.status?.source?.totalBytes ?? 0
            return free(before, spec.medium) < needed && needed <= now ? key : nil
        }
    }

    /// An agent that will not come back: its node is gone, or it never told anything.
    mutating func forgetAgent(_ node: String) {
        agents[node] = nil
        answers.forget(node: node)
        for uid in reported[node] ?? [] { removeReport(uid: uid, node: node) }
    }

    /// The ModelCaches to which a change of a node's agent means something.
    func concerned(by node: String) -> [ObjectKey] { concerned(by: node, [nodes[node]].compactMap { $0 }) }

    /// The agent of a node answered, or does not, or is gone: it is not waited for any more.
    ///
    /// - Returns: the ModelCaches that were planned before every agent was asked, when this was the last one.
    fileprivate mutating func heard(of node: String) -> [ObjectKey] {
        guard unheard.remove(node) != nil, unheard.isEmpty else { return [] }
        defer { plannedUnheard = [] }
        return plannedUnheard.compactMap { keys[$0] }
    }
}

extension CacheReport {
    /// Equal but for bytes that moved.
    fileprivate func isSame(as other: CacheReport) -> Bool {
        state == other.state && digest == other.digest && pinned == other.pinned && (users > 0) == (other.users > 0)
            && error == other.error && source == other.source && medium == other.medium
            && callersDigest == other.callersDigest
    }
}
