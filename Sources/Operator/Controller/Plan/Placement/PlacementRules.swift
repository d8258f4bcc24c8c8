public import Kubernetes

/// Which nodes a ModelCache may use, and which it likes best: `spec.placement` in the scheduler's terms.
/// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
public struct PlacementRules: Sendable, Hashable {
    public var nodeSelector: [String: String]
    public var affinity: NodeAffinity?
    public var tolerations: [Toleration]

    public init(nodeSelector: [String: String] = [:], affinity: NodeAffinity? = nil, tolerations: [Toleration] = []) {
        self.nodeSelector = nodeSelector
        self.affinity = affinity
        self.tolerations = tolerations
    }

    /// Whether labels and name fit; says nothing of taints.
    public func selects(_ node: NodeView) -> Bool {
        // Most ModelCaches select by labels or not at all, and a plan asks this of every node of the cluster.
        for (key, value) in nodeSelector where node.labels[key] != value { return false }
        return affinity?.allows(node.object) ?? true
    }

    /// Whether every taint that keeps pods away is tolerated, and for good: a copy is to last.
    public func tolerates(_ node: NodeView) -> Bool { untolerated(on: node).isEmpty }

    /// The taints that keep the ModelCache's own pods away from the node, or end them in time.
    func untolerated(on node: NodeView) -> [Taint] {
        node.taints.filter { taint in
            !tolerations.contains {
                $0.tolerates(taint) && (taint.effect != "NoExecute" || $0.tolerationSeconds == nil)
            }
        }
    }

    /// The sum of the weights of the preferences that the node meets.
    public func preference(for node: NodeView) -> Int { affinity?.preference(for: node.object) ?? 0 }
}
