/// The causes for which nodes, their agents and their warm-up Jobs wait. Nodes with one cause are named together.
enum WhyNodes {
    /// `: ImagePullBackOff, back-off pulling image …`, or nothing.
    static func cause(_ pod: WhyObservation.PodState) -> String {
        let parts = [pod.reason, pod.message].compactMap { $0 }.filter { !$0.isEmpty }
        return parts.isEmpty ? (pod.phase == "Running" ? "" : ": \(pod.phase)") : ": " + parts.joined(separator: ", ")
    }

    static func findings(_ seen: WhyObservation) -> [Why.Finding] {
        guard seen.model.metadata.deletionTimestamp == nil else { return [] }
        var groups = Groups()
        let details = seen.model.status?.nodes?.details ?? []
        let waiting = details.filter { $0.state != .ready }
        let blocked = agentFindings(seen, waiting: waiting.map(\.name), into: &groups)
        let warmups = Dictionary(seen.warmups.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        for detail in waiting where !blocked.contains(detail.name) {
            if let warmup = warmups[detail.name], jobFinding(warmup, seen, into: &groups) { continue }
            if let message = detail.message, !message.isEmpty {
                groups.add(node: detail.name, "\(detail.state == .failed ? "failed" : "waits"): \(message)", nil)
            } else if detail.state == .pending, !seen.model.spec.suspend {
                let most = seen.model.spec.warmup.parallelism
                groups.add(
                    node: detail.name,
                    "has no warm-up yet: at most \(most) nodes warm at once (spec.warmup.parallelism)", nil)
            }
        }
        // The status names at most a hundred nodes, and none before the first reconcile.
        for warmup in seen.warmups where !waiting.contains(where: { $0.name == warmup.node }) && !warmup.isComplete {
            if !details.contains(where: { $0.name == warmup.node }) { _ = jobFinding(warmup, seen, into: &groups) }
        }
        return groups.findings
    }

    /// The nodes whose agent is the cause.
    private static func agentFindings(
        _ seen: WhyObservation, waiting: [String], into groups: inout Groups
    ) -> Set<String> {
        guard let agents = seen.agents else { return [] }
        if agents.isEmpty {
            groups.plain.append(
                Why.Finding(
                    text: "No agent runs on any node (no pod with the label app.kubernetes.io/name=modelcache-agent "
                        + "in \(seen.systemNamespace))",
                    remedy: "install the agents (kubectl apply -k config/default)"))
            return Set(waiting)
        }
        var blocked: Set<String> = []
        for node in waiting {
            let here = agents.filter { $0.node == node }
            if here.isEmpty {
                blocked.insert(node)
                groups.add(
                    node: node, "has no agent",
                    "see why the DaemonSet modelcache-agent has no pod there: "
                        + "kubectl -n \(seen.systemNamespace) describe daemonset modelcache-agent")
            } else if let pod = here.first, !here.contains(where: \.isReady) {
                blocked.insert(node)
                let restarts = pod.restarts > 0 ? ", restarted \(pod.restarts) times" : ""
                groups.add(
                    node: node, "has an agent that is not ready\(cause(pod))\(restarts)",
                    "kubectl -n \(seen.systemNamespace) describe pod \(pod.name)")
            }
        }
        return blocked
    }

    /// Whether the Job explains why the node waits.
    private static func jobFinding(
        _ warmup: WhyObservation.Warmup, _ seen: WhyObservation, into groups: inout Groups
    ) -> Bool {
        let namespace = seen.model.metadata.namespace ?? "default"
        if let failure = warmup.failure {
            let last = warmup.pod.map { cause($0) } ?? ""
            groups.add(
                node: warmup.node, "failed: its warm-up gave up (\(failure.reason))\(last)",
                "kubectl -n \(namespace) logs job/\(warmup.name); once mended, "
                    + "kubectl modelcache evict \(seen.model.metadata.name) --node \(warmup.node) starts it anew")
            return true
        }
        guard let pod = warmup.pod else {
            guard !warmup.isComplete else { return false }
            if warmup.isSuspended {
                groups.add(
                    node: warmup.node, "has a warm-up Job that is suspended until its queue admits it",
                    "kubectl -n \(namespace) describe job \(warmup.name), and the queue's own state (Kueue: kubectl get workloads)"
                )
                return true
            }
            groups.add(
                node: warmup.node, "has a warm-up Job without a pod",
                "kubectl -n \(namespace) describe job \(warmup.name) (a quota or Pod Security may refuse it)")
            return true
        }
        let describe = "kubectl -n \(namespace) describe pod \(pod.name)"
        switch pod.reason {
        case "Unschedulable":
            groups.add(
                node: warmup.node, "cannot take its warm-up pod\(cause(pod))",
                "check taints, tolerations and free CPU and memory: \(describe)")
        case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull":
            groups.add(
                node: warmup.node, "cannot get the agent's image\(cause(pod))",
                "check the image's name and the node's way to its registry: \(describe)")
        case "CreateContainerConfigError":
            groups.add(
                node: warmup.node, "cannot start its warm-up pod\(cause(pod))",
                "mostly a missing Secret or key: \(describe)")
        default:
            if pod.phase == "Running", pod.reason == nil {
                guard warmup.failedPods > 0 else { return false }
                let attempts = warmup.failedPods == 1 ? "attempt" : "attempts"
                groups.add(node: warmup.node, "is trying again after \(warmup.failedPods) failed \(attempts)", nil)
            } else if pod.phase == "Succeeded" {
                return false
            } else {
                groups.add(
                    node: warmup.node, "waits for its warm-up pod\(cause(pod))",
                    pod.phase == "Pending" ? describe : "kubectl -n \(namespace) logs \(pod.name)")
            }
        }
        return true
    }

    /// Findings about single nodes, joined where only the node differs.
    private struct Groups {
        var plain: [Why.Finding] = []
        private var order: [String] = []
        private var members: [String: (nodes: [String], remedy: String?)] = [:]

        /// The first node's remedy stays: its commands name that node.
        mutating func add(node: String, _ text: String, _ remedy: String?) {
            if members[text] == nil { order.append(text) }
            members[text, default: ([], remedy)].nodes.append(node)
        }

        var findings: [Why.Finding] {
            plain
                + order.prefix(10).map { text in
                    let nodes = members[text]?.nodes ?? []
                    let subject = nodes.count == 1 ? "Node \(nodes[0])" : "Each of the nodes \(Texts.list(nodes))"
                    return Why.Finding(text: "\(subject) \(text)", remedy: members[text]?.remedy)
                }
        }
    }
}
