internal import CRD
internal import Kubernetes

/// Gauges of what the world holds; controller-runtime's own are kept by the queue.
struct ControllerMetrics: Sendable {
    private let registry: MetricsRegistry
    private let phases: GaugeFamily
    private let agents: GaugeFamily
    private let jobs: Gauge
    private let nodes: Gauge
    private let quotas: GaugeFamily
    private let quotaUse: GaugeFamily
    private let resources: ResourceMetrics

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        phases = registry.gauge("modelcache_modelcaches", help: "ModelCaches by phase.", labels: ["phase"])
        agents = registry.gauge("modelcache_agents", help: "Agents by whether they answer.", labels: ["state"])
        jobs = registry.gauge("modelcache_jobs", help: "Warm-up Jobs there are.")[]
        nodes = registry.gauge("modelcache_nodes", help: "Nodes of the cluster.")[]
        quotas = registry.gauge(
            "modelcache_quota_bytes", help: "Bytes of models that the quota of a namespace allows on a node.",
            labels: ["namespace", "medium"])
        quotaUse = registry.gauge(
            "modelcache_quota_used_bytes", help: "Bytes of the namespace's models that count against its quota.",
            labels: ["namespace", "medium"])
        resources = ResourceMetrics(registry)
    }

    func collect(_ census: @escaping @Sendable () -> World.Census) {
        registry.onCollect {
            let census = census()
            for phase in Phase.allCases { phases[phase.rawValue].set(Double(census.phases[phase] ?? 0)) }
            agents["reachable"].set(Double(census.reachable))
            agents["unreachable"].set(Double(census.agents - census.reachable))
            jobs.set(Double(census.jobs))
            nodes.set(Double(census.nodes))
            func values(_ bytes: (World.QuotaUse) -> Int64) -> [[String]: Double] {
                census.quotas.reduce(into: [:]) { $0[[$1.namespace, $1.medium.rawValue]] = Double(bytes($1)) }
            }
            quotas.replace(with: values(\.limitBytes))
            quotaUse.replace(with: values(\.usedBytes))
            resources.set(census.resources)
        }
    }
}

/// Gauges with the labels `namespace` and `name` of a ModelCache: what its status says, for alerts and dashboards.
/// A ModelCache that is gone has none.
private struct ResourceMetrics: Sendable {
    private let info: GaugeFamily
    private let conditions: GaugeFamily
    private let copies: GaugeFamily
    private let size: GaugeFamily
    private let cached: GaugeFamily
    private let expiry: GaugeFamily

    init(_ registry: MetricsRegistry) {
        func gauge(_ name: String, _ help: String, _ labels: String...) -> GaugeFamily {
            registry.gauge(name, help: help, labels: ["namespace", "name"] + labels)
        }
        info = gauge(
            "modelcache_status_info", "Always 1: the uid by which agents' metrics name a ModelCache.", "model", "medium"
        )
        conditions = gauge(
            "modelcache_status_condition", "1 for the status that a ModelCache's condition has, 0 for the others.",
            "type", "status")
        copies = gauge(
            "modelcache_status_copies", "Nodes that should have a copy of the model (desired), and what they have.",
            "state")
        size = gauge("modelcache_status_model_bytes", "Size of the model at its source.")
        cached = gauge("modelcache_status_cached_bytes", "Bytes of the model on all nodes that should have a copy.")
        expiry = gauge(
            "modelcache_credentials_expiry_timestamp_seconds",
            "When the credentials in the ModelCache's Secret expire, where the Secret says so.")
    }

    func set(_ resources: [World.Census.Resource]) {
        func replace(_ family: GaugeFamily, _ values: (World.Census.Resource) -> [[String]: Double]) {
            family.replace(
                with: resources.reduce(into: [:]) { all, resource in
                    for (labels, value) in values(resource) {
                        all[[resource.key.namespace, resource.key.name] + labels] = value
                    }
                })
        }
        replace(info) { [[$0.uid, $0.status.medium?.rawValue ?? ""]: 1] }
        replace(conditions) { resource in
            var values: [[String]: Double] = [:]
            for condition in resource.status.conditions {
                for status in Condition.Status.allCases {
                    values[[condition.type, status.rawValue]] = condition.status == status ? 1 : 0
                }
            }
            return values
        }
        replace(copies) { resource in
            guard let nodes = resource.status.nodes else { return [:] }
            return [
                ["desired"]: Double(nodes.desired), ["ready"]: Double(nodes.ready),
                ["warming"]: Double(nodes.warming), ["failed"]: Double(nodes.failed),
            ]
        }
        replace(size) { $0.status.source.map { [[]: Double($0.totalBytes)] } ?? [:] }
        replace(cached) { $0.status.progress.map { [[]: Double($0.bytesCached)] } ?? [:] }
        replace(expiry) { $0.credentialsExpiry.map { [[]: Double($0)] } ?? [:] }
    }
}

extension World {
    struct Census {
        /// One ModelCache, as the API server has it.
        struct Resource {
            var key: ObjectKey
            var uid: String
            var status: ModelCacheStatus
            /// Unix seconds; nil: its Secret names none, or was not read since this operator started.
            var credentialsExpiry: Int64?
        }

        var phases: [Phase: Int] = [:]
        var agents = 0
        var reachable = 0
        var jobs = 0
        var nodes = 0
        var quotas: [QuotaUse] = []
        var resources: [Resource] = []
    }

    var census: Census {
        state.withLock { state in
            var census = Census()
            for (key, cache) in state.caches {
                census.phases[cache.status?.phase ?? .pending, default: 0] += 1
                guard let uid = cache.metadata.uid, let status = cache.status else { continue }
                census.resources.append(
                    Census.Resource(
                        key: key, uid: uid, status: status,
                        credentialsExpiry: state.resolutions[uid]?.resolved?.secret?.expiry))
            }
            census.agents = state.agents.count
            census.reachable = state.agents.values.count { $0.isReachable }
            census.jobs = state.jobs.values.reduce(0) { $0 + $1.count }
            census.nodes = state.nodes.count
            census.quotas = state.quotaUse
            return census
        }
    }

    func reading(_ key: ObjectKey) -> Observed.SpecReading? {
        state.withLock { state in state.caches[key].flatMap { state.readings[$0.uid] } }
    }

    /// The regions of the nodes that match.
    func regions(for spec: CacheSpec) -> Set<String> {
        let nodes = state.withLock { $0.nodes }
        return Set(
            nodes.values.lazy.filter { spec.placement.selects($0) }.compactMap { $0.labels[NodeView.regionLabel] })
    }
}
