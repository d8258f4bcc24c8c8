internal import AgentAPI
internal import Kubernetes

/// The nodes that one plan deals with.
struct Candidates {
    /// By name: their agents are given the ModelCache's definition.
    var all: [String: NodeView] = [:]
    /// Those of ``all`` that may become seeders.
    var newcomers: [NodeView] = []
    /// Those of ``all`` that `spec.placement` gives no copy: tainted or cordoned. Pods wait there, or the agent has the
    /// directory already; a Job fills them for their pods alone, and nothing is pinned.
    var forPods: Set<String> = []
    /// The Job of each node.
    var jobs: [String: JobView] = [:]

    var placed: [String] { all.keys.filter { !forPods.contains($0) } }
}

extension Planner {
    /// Chooses among the nodes that `spec.placement` selects by name and labels.
    mutating func candidates(_ spec: CacheSpec, facts: ResolvedSource, selected: [NodeView]) -> Candidates {
        var chosen = Candidates()
        chosen.jobs = Dictionary(observed.jobs.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        for node in selected where node.isAlive(at: now) {
            let name = node.name
            let mayTake = node.isSchedulable && spec.placement.tolerates(node)
            if node.isReady, mayTake {
                chosen.all[name] = node
                chosen.newcomers.append(node)
                continue
            }
            if let since = node.notReadySince { wake(at: since + NodeView.readinessGrace) }
            // A cordoned node, one with a new taint or one whose kubelet restarts keeps what it has, and a Job that
            // runs there goes on: neither ends a running pod, and what does (NoExecute) fails the Job.
            let isWarming = chosen.jobs[name]?.isUnfinished ?? false
            let isAtWork = isWarming || (mayTake && observed.recorded.seeders.contains(name))
            let hasCopy = hasCopy(name, facts: facts)
            let isPinned = observed.reports[name]?.pinned
            let wasPlaced = isPinned ?? (isWarming && chosen.jobs[name]?.isForPods == false)
            // The scheduler let the pod in, by the pod's own tolerations.
            let hasPods = node.isReady && (waitingPods[name] != nil || isPinned == false)
            guard hasCopy || isAtWork || hasPods else { continue }
            chosen.all[name] = node
            let isSeeder = hasCopy && observed.recorded.seeders.contains(name)
            if !mayTake, !wasPlaced, !isSeeder { chosen.forPods.insert(name) }
        }
        return chosen
    }

    /// Tolerations that a Job needs on a node beside those of spec and pod template: of the taints that the pods there
    /// tolerate and `spec.placement` does not.
    func tolerations(on node: String, _ spec: CacheSpec) -> [Toleration] {
        guard let view = observed.nodes[node], waitingPods[node] != nil else { return [] }
        let taints = spec.placement.untolerated(on: view) + (view.isSchedulable ? [] : [NodeView.cordon])
        return taints.map { taint in
            Toleration(
                key: taint.key, operator: taint.value == nil ? "Exists" : "Equal", value: taint.value,
                effect: taint.effect)
        }
    }
}
