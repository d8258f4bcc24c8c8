// Taints and tolerations, as `ToleratesTaint` of core/v1 and kube-scheduler's TaintToleration plugin
// (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/).

extension Toleration {
    /// An empty effect tolerates every effect; an empty key with `Exists` tolerates every key.
    public func tolerates(_ taint: Taint) -> Bool {
        if let effect, !effect.isEmpty, effect != taint.effect { return false }
        if let key, !key.isEmpty, key != taint.key { return false }
        switch self.operator ?? "" {
        case "Exists": return true
        // The server refuses an empty key here; the scheduler would compare the value alone.
        case "", "Equal": return (value ?? "") == (taint.value ?? "")
        default: return false
        }
    }
}

extension Node {
    /// The first taint that keeps a pod with these tolerations off this node; nil when none does. `PreferNoSchedule`
    /// keeps no pod off. A cordoned node (`unschedulable`) counts as tainted with `node.kubernetes.io/unschedulable`,
    /// even before it has the taint.
    public func untoleratedTaint(_ tolerations: [Toleration]) -> Taint? {
        let cordon = Taint(key: "node.kubernetes.io/unschedulable", effect: "NoSchedule")
        let taints = (spec?.taints ?? []) + (spec?.unschedulable == true ? [cordon] : [])
        return taints.first { taint in
            (taint.effect == "NoSchedule" || taint.effect == "NoExecute")
                && !tolerations.contains { $0.tolerates(taint) }
        }
    }

    /// Whether a pod that runs here with these tolerations will be evicted.
    public func evicts(_ tolerations: [Toleration]) -> Bool {
        (spec?.taints ?? []).contains { taint in
            taint.effect == "NoExecute"
                && !tolerations.contains { $0.tolerates(taint) && $0.tolerationSeconds == nil }
        }
    }
}
