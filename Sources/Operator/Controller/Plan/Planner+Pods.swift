internal import AgentAPI

/// A pod that was given a ModelCache, is bound to a node and is not ready. Where its directory is missing the
/// kubelet says only `hostPath type check failed`.
public struct WaitingPod: Sendable, Hashable {
    public var namespace: String
    public var name: String
    public var uid: String
    public var node: String
    /// When it was bound to its node, by the API server's clock; nil: nobody says.
    public var boundAt: WallTime?
    /// It starts; false: it was ready there before.
    public var isStart = true

    public init(namespace: String, name: String, uid: String, node: String) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.node = node
    }
}

extension Planner {
    /// Events are kept for an hour; a pod that waits longer is told again.
    private static let tellAgainInterval: Duration = .seconds(1800)
    /// The watch may tell of a pod before it tells of a node that is new or has just got its label.
    private static let newNodeGrace: Duration = .seconds(30)
    /// Until the Job's pod has asked the agent, which keeps the refusal of the Job before.
    private static let oldRefusalGrace: Duration = .seconds(60)
    /// More pods are told by the condition.
    private static let mostToldPods = 20
    /// The condition's own.
    private static let quotaReason = "NamespaceQuotaExceeded"

    /// Tells the pods that wait on a node why the model's directory is not there, or why no Job fills it.
    mutating func tellPods(_ spec: CacheSpec, facts: ResolvedSource, selected: Set<String>, nodes: [NodeFinding]) {
        let waiting = Set(observed.waitingPods.map(\.uid))
        memory.toldPods = memory.toldPods.filter { waiting.contains(String($0.key.prefix { $0 != "/" })) }
        let findings = Dictionary(nodes.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
        var told = 0
        for pod in waitingPods.values.joined().sorted(by: { ($0.node, $0.name) < ($1.node, $1.name) }) {
            let found =
                observed.nodes[pod.node] == nil && observed.agents[pod.node] == nil
                ? noAgentsNode(pod)
                : observed.reports[pod.node] == nil
                ? hindrance(on: pod.node, spec: spec, facts: facts, selected: selected)
                : failure(of: findings[pod.node], spec)
            guard let (reason, why) = found else { continue }
            let key = "\(pod.uid)/\(reason)"
            if let last = memory.toldPods[key], now - last < Self.tellAgainInterval {
                wake(at: last + Self.tellAgainInterval)
                continue
            }
            guard told < Self.mostToldPods else { continue }
            told += 1
            memory.toldPods[key] = now
            wake(at: now + Self.tellAgainInterval)
            events.append(
                PlannedEvent(
                    isWarning: true, reason: reason,
                    message: "ModelCache \(owner.name) is not on this pod's node: \(Words.line(why, limit: 700))",
                    pod: pod))
        }
    }

    /// The Job that should fill the node for its pods has failed, is refused so far, does not start, or is not made.
    private mutating func failure(of finding: NodeFinding?, _ spec: CacheSpec) -> (reason: String, why: String)? {
        guard spec.isReadByJobs, let finding else { return nil }
        if case .due = finding.state, let excess = observed.quotaExcess { return (Self.quotaReason, excess.message) }
        // Of a role a pod has no part.
        let otherwise =
            spec.secretName == nil
            ? ""
            : ", or give the pod the annotation modelcache.io/direct-credentials: \"true\", so that it needs no Job"
        let job = "the warm-up Job for node \(finding.node) brings it"
        switch finding.state {
        case .failed(let reason, let message):
            let told = Words.line(message, limit: 450)
            return (
                "WarmupFailed", "\(job), and ended with \(reason): \(told). Mend that and make the pod anew" + otherwise
            )
        case .warming:
            guard let refused = refusedSoFar(finding) else { return nil }
            let told = Words.line(refused.message, limit: 450)
            return (
                "WarmupRefused",
                "\(job), and is refused so far: \(refused.code): \(told). Mend that; the Job tries again, and the pod waits"
                    + otherwise
            )
        case .due:
            return reasonForNoJob(spec).map { why in
                ("WarmupRefused", "\(job), and none is made: \(Words.line(why, limit: 450))" + otherwise)
            }
        default: return nil
        }
    }

    /// The refusal of the Job that is at work; nil: there is none, or it may be that of the Job before.
    mutating func refusedSoFar(_ finding: NodeFinding) -> CacheReport.Failure? {
        guard let refusal = finding.refusal,
            let job = observed.jobs.first(where: {
                $0.node == finding.node && $0.phase == .unfinished && !$0.isDeleting
            })
        else { return nil }
        guard job.phaseSeen + Self.oldRefusalGrace <= now else {
            wake(at: job.phaseSeen + Self.oldRefusalGrace)
            return nil
        }
        return refusal
    }

    /// Why a node that is due gets no Job though its turn may have come.
    private func reasonForNoJob(_ spec: CacheSpec) -> String? {
        if let refusal = picture.refusal { return refusal }
        if spec.isSuspended { return "spec.suspend is set; take it back" }
        if case .failed(let failure) = picture.source, !isSourceUsable {
            return "\(failure.reason.rawValue): \(failure.message)"
        }
        return nil
    }

    /// The pod's node is none of those that the operator knows, which are those that agents run on.
    private mutating func noAgentsNode(_ pod: WaitingPod) -> (reason: String, why: String)? {
        // A node that leaves is gone before the pods that were ready there.
        guard pod.isStart else { return nil }
        if let bound = pod.boundAt, bound + Self.newNodeGrace > now {
            wake(at: bound + Self.newNodeGrace)
            return nil
        }
        return (
            "NoAgent",
            "node \(pod.node) is none of the nodes that agents run on (the DaemonSet modelcache-agent's, and the operator's "
                + "--agent-node-selector); give it their label, or give the pod a nodeSelector with that label and make it anew"
        )
    }

    /// Why the ModelCache's directory is missing on a node; nil while it may be on its way.
    private mutating func hindrance(
        on node: String, spec: CacheSpec, facts: ResolvedSource, selected: Set<String>
    ) -> (reason: String, why: String)? {
        guard selected.contains(node) else {
            return observed.nodes[node] == nil
                ? nil
                : (
                    "NodeNotSelected",
                    "node \(node) does not match spec.placement; widen it, or give the pod a nodeSelector that agrees with it"
                )
        }
        guard let agent = observed.agents[node] else {
            return (
                "NoAgent",
                "node \(node) has no agent; see the DaemonSet modelcache-agent, its node selector and tolerations"
            )
        }
        if let excess = observed.quotaExcess { return (Self.quotaReason, excess.message) }
        if let shortage = shortage(node, spec: spec, facts: facts, isPinned: false) {
            if !picture.shortages.contains(where: { $0.node == node }),
                !picture.shortagesOfPods.contains(where: { $0.node == node })
            {
                picture.shortagesOfPods.append(shortage)
            }
            return (
                "InsufficientCapacity",
                "node \(node) has no capacity for \(owner.namespace)/\(owner.name): free \(Words.bytes(shortage.free)), needed "
                    + "\(Words.bytes(shortage.needed)); raise the agents' budget, delete a ModelCache, or choose another node"
            )
        }
        if let refused = refused(by: node, agent: agent, spec: spec, facts: facts) {
            return ("AgentRefused", "the agent on \(node) does not take it: \(refused.message)")
        }
        guard let end = agent.silenceEnds else { return nil }
        guard now >= end else {
            wake(at: end)
            return nil
        }
        return ("AgentUnreachable", "the agent on \(node) does not answer: \(agent.reach.why ?? "no answer")")
    }
}
