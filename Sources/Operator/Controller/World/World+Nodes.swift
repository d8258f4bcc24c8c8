package import AgentAPI
package import CRD
internal import TextCoding

extension World {
    /// Nodes with an agent, or with one that is missing for the moment.
    ///
    /// - Parameter addresses: of the agents.
    func nodesReport(_ addresses: [AgentAddress]) -> NodesReport {
        let (agents, reports) = state.withLock { ($0.agents, $0.reports) }
        var copies: [String: [CacheReport]] = [:]
        for nodes in reports.values {
            for (node, copy) in nodes { copies[node, default: []].append(copy) }
        }
        let names = PeerNames(addresses)
        return NodesReport(
            nodes: agents.values.sorted { $0.node < $1.node }.map { NodesReport.Node($0, copies[$0.node] ?? [], names) }
        )
    }

    /// The agents that have reported this cache.
    func agents(withCache uid: String) -> [AgentView] {
        state.withLock { state in (state.reports[uid] ?? [:]).keys.sorted().compactMap { state.agents[$0] } }
    }
}

/// The nodes behind the addresses at which agents know each other.
package struct PeerNames: Sendable {
    /// By the address in network order: a text may write one in several ways.
    private var nodes: [[UInt8]: String] = [:]

    package init(_ addresses: [AgentAddress]) {
        for address in addresses {
            if let bytes = NumericAddress.bytes(of: address.host) { nodes[bytes] = address.node }
        }
    }

    /// The address itself where no agent has it.
    func node(at address: String) -> String {
        let host = HostPort(Substring(address)).flatMap { NumericAddress.bytes(of: $0.host) }
        return host.flatMap { nodes[$0] } ?? address
    }
}

extension NodesReport.Node {
    /// - Parameter copies: the reports of this node's agent.
    package init(_ agent: AgentView, _ copies: [CacheReport], _ names: PeerNames = PeerNames([])) {
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
                .map { NodesReport.Copy($0, names, evictionPlace: place($0)) })
    }
}

extension NodesReport.Copy {
    init(_ report: CacheReport, _ names: PeerNames, evictionPlace: Int?) {
        let store = NodesReport.Source(bytes: report.originBytes, bytesPerSecond: report.originBytesPerSecond)
        let peers = report.peers.map {
            NodesReport.Source(
                node: names.node(at: $0.address), bytes: $0.receivedBytes, bytesPerSecond: $0.bytesPerSecond)
        }
        self.init(
            namespace: report.namespace, name: report.name,
            medium: (report.medium == .disk ? Cache.Medium.disk : .memory).rawValue, state: report.state.word,
            bytesCached: report.bytesCached, bytesTotal: report.bytesTotal, isPinned: report.pinned,
            readers: report.users, sources: ([store] + peers).filter { $0.bytes > 0 }, evictionPlace: evictionPlace)
    }
}
