package import AgentAPI
package import CRD

/// Which nodes hold the whole model, for pods that would rather start there.
package enum WarmNodes {
    package static let hostnameLabel = "kubernetes.io/hostname"

    /// By the agents' own reports; nil when some agent was not asked yet or the source is not known: the status then
    /// knows better.
    package static func reported(
        _ reports: [String: CacheReport], agents: [String: AgentView], digest: String?, now: WallTime
    ) -> Set<String>? {
        guard let digest, agents.values.allSatisfy({ if case .unknown = $0.reach { false } else { true } }) else {
            return nil
        }
        return Set(
            reports.lazy.filter { node, report in
                report.state == .ready && report.digest == digest && (agents[node]?.isCredible(at: now) ?? false)
            }.map(\.key))
    }

    /// By what the leader wrote. Its details leave out ready nodes first when there are many; the seeders stand in for
    /// those.
    package static func recorded(_ status: ModelCacheStatus?) -> Set<String> {
        guard let status else { return [] }
        let shown = (status.nodes?.details ?? []).filter { $0.state == .ready }.map(\.name)
        return (status.nodes?.ready ?? 0) > shown.count ? Set(shown).union(status.seeders) : Set(shown)
    }

    /// Seeders first, the others by name. Without nodes that are gone, not ready or cordoned: a preference for those is
    /// of no use.
    package static func hostnames(_ names: Set<String>, seeders: [String], nodes: [String: NodeView], now: WallTime)
        -> [String]
    {
        let ordered = seeders.filter { names.contains($0) } + names.subtracting(seeders).sorted()
        return ordered.compactMap { name in
            guard let node = nodes[name], node.isSchedulable, node.isAlive(at: now) else { return nil }
            return node.labels[hostnameLabel]
        }
    }
}
