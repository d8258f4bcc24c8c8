/// Which pod speaks for a node: of several, as during a rolling update, the one that stays, and of those the newest.
package struct AgentDirectory: Sendable {
    private var pods: [String: [String: AgentPod]] = [:]

    package init() {}

    package enum Change: Sendable, Equatable {
        /// The node's agent is at this address, and something about its pod changed. `drains`: how long the pod may
        /// take to end; nil: it is not asked to.
        case found(node: String, address: String, drains: Duration?)
        case lost(node: String)
    }

    package mutating func set(_ pod: AgentPod) -> Change? {
        let before = best(pod.node)
        pods[pod.node, default: [:]][pod.name] = pod
        let now = best(pod.node)
        return before == now ? nil : now.map { Self.found($0) }
    }

    package mutating func remove(_ pod: AgentPod) -> Change? {
        let before = best(pod.node)
        guard pods[pod.node]?[pod.name]?.uid == pod.uid else { return nil }
        pods[pod.node]?[pod.name] = nil
        if pods[pod.node]?.isEmpty ?? false { pods[pod.node] = nil }
        guard let now = best(pod.node) else { return .lost(node: pod.node) }
        return before == now ? nil : Self.found(now)
    }

    private static func found(_ pod: AgentPod) -> Change {
        .found(
            node: pod.node, address: pod.address, drains: pod.isDeleting ? .seconds(pod.graceSeconds) : nil)
    }

    private func best(_ node: String) -> AgentPod? {
        pods[node]?.values.max { left, right in
            if left.isDeleting != right.isDeleting { return left.isDeleting }
            if left.createdAt != right.createdAt { return left.createdAt < right.createdAt }
            return left.uid < right.uid
        }
    }
}
