internal import CRD
internal import Kubernetes

/// Gauges of what the world holds; controller-runtime's own are kept by the queue.
struct ControllerMetrics: Sendable {
    private let registry: MetricsRegistry
    private let phases: GaugeFamily
    private let agents: GaugeFamily
    private let jobs: Gauge
    private let nodes: Gauge

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        phases = registry.gauge("modelcache_modelcaches", help: "ModelCaches by phase.", labels: ["phase"])
        agents = registry.gauge("modelcache_agents", help: "Agents by whether they answer.", labels: ["state"])
        jobs = registry.gauge("modelcache_jobs", help: "Warm-up Jobs there are.")[]
        nodes = registry.gauge("modelcache_nodes", help: "Nodes of the cluster.")[]
    }

    func collect(_ census: @escaping @Sendable () -> World.Census) {
        registry.onCollect {
            let census = census()
            for phase in Phase.allCases { phases[phase.rawValue].set(Double(census.phases[phase] ?? 0)) }
            agents["reachable"].set(Double(census.reachable))
            agents["unreachable"].set(Double(census.agents - census.reachable))
            jobs.set(Double(census.jobs))
            nodes.set(Double(census.nodes))
        }
    }
}

extension World {
    struct Census {
        var phases: [Phase: Int] = [:]
        var agents = 0
        var reachable = 0
        var jobs = 0
        var nodes = 0
    }

    var census: Census {
        state.withLock { state in
            var census = Census()
            for cache in state.caches.values { census.phases[cache.status?.phase ?? .pending, default: 0] += 1 }
            census.agents = state.agents.count
            census.reachable = state.agents.values.count { $0.isReachable }
            census.jobs = state.jobs.values.reduce(0) { $0 + $1.count }
            census.nodes = state.nodes.count
            return census
        }
    }

    func reading(_ key: ObjectKey) -> Observed.SpecReading? {
        state.withLock { state in state.caches[key].flatMap { state.readings[$0.uid] } }
    }

    /// The regions of the nodes that match.
    func regions(for spec: CacheSpec) -> Set<String> {
        let nodes = state.withLock { $0.nodes }
        return Set(nodes.values.lazy.filter { spec.placement.selects($0) }.compactMap { $0.labels[NodeView.regionLabel] })
    }
}
