package import AgentAPI
package import CRD

extension World {
    /// Nodes with an agent, or with one that is missing for the moment.
    var nodesReport: NodesReport {
        let (agents, reports) = state.withLock { ($0.agents, $0.reports) }
        var copies: [String: [CacheReport]] = [:]
        for nodes in reports.values {
            for (node, copy) in nodes { copies[node, default: []].append(copy) }
        }
        return NodesReport(
            nodes: agents.values.sorted { $0.node < $1.node }.map { NodesReport.Node($0, copies[$0.node] ?? []) })
    }

    /// The agents that have reported this cache.
    func agents(withCache uid: String) -> [AgentView] {
        state.withLock { state in (state.reports[uid] ?? [:]).keys.sorted().compactMap { state.agents[$0] } }
    }
}

extension NodesReport.Node {
    /// - Parameter copies: the reports of this node's agent.
    package init(_ agent: AgentView, _ copies: [CacheReport]) {
        let state =
            switch agent.reach {
            case .reachable: "Reachable"
            case .unreachable: "Unreachable"
            case .missing: "Missing"
            case .unknown: "Unknown"
            }
        func medium(_ capacity: Capacity, _ medium: CacheDefinition.Medium) -> NodesReport.Medium {
            NodesReport.Medium(
                budgetBytes: capacity.budgetBytes,
                usedBytes: copies.reduce(0) { $0 + ($1.medium == medium ? max(0, $1.bytesCached) : 0) },
                freeBytes: capacity.freeBytes)
        }
        // As the agent's own policy orders them.
        let evictable = copies.filter { $0.lastUsed != nil && $0.bytesCached > 0 }
            .sorted { ($0.lastUsed ?? 0, $0.uid) < ($1.lastUsed ?? 0, $1.uid) }
        func place(_ copy: CacheReport) -> Int? {
            evictable.filter { $0.medium == copy.medium }.firstIndex { $0.uid == copy.uid }.map { $0 + 1 }
        }
        self.init(
            name: agent.node, agent: state, message: agent.reach.why,
            memory: agent.reportedAt == nil ? nil : medium(agent.memory, .memory),
            disk: agent.disk.map { medium($0, .disk) },
            models: copies.sorted { ($0.namespace, $0.name, $0.uid) < ($1.namespace, $1.name, $1.uid) }
                .map { NodesReport.Copy($0, evictionPlace: place($0)) })
    }
}

extension NodesReport.Copy {
    init(_ report: CacheReport, evictionPlace: Int?) {
        self.init(
            namespace: report.namespace, name: report.name,
            medium: (report.medium == .disk ? Cache.Medium.disk : .memory).rawValue, state: report.state.word,
            bytesCached: report.bytesCached, bytesTotal: report.bytesTotal, isPinned: report.pinned,
            readers: report.users, evictionPlace: evictionPlace)
    }
}
