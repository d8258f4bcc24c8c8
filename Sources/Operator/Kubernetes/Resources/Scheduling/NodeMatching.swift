// Whether a pod's rules let it run on a node, as kube-scheduler's NodeAffinity plugin decides
// (https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/).

extension NodeSelectorRequirement {
    /// Matches labels or fields. An unknown operator, or a value that an operator cannot take, matches nothing, because
    /// the scheduler skips such a term.
    public func matches(_ labels: [String: String]) -> Bool {
        let found = labels[key]
        let values = values ?? []
        switch `operator` {
        case "In":
            return !values.isEmpty && found.map { values.contains($0) } ?? false
        case "NotIn":
            // Holds for a node without the label.
            return !values.isEmpty && found.map { !values.contains($0) } ?? true
        case "Exists":
            return values.isEmpty && found != nil
        case "DoesNotExist":
            return values.isEmpty && found == nil
        case "Gt", "Lt":
            // Both sides must be integers, with one value.
            guard values.count == 1, let limit = Int64(values[0]), let number = found.flatMap({ Int64($0) }) else {
                return false
            }
            return `operator` == "Gt" ? number > limit : number < limit
        default:
            return false
        }
    }

    /// The rules that the scheduler checks before it evaluates anything.
    fileprivate var isValid: Bool {
        let count = (values ?? []).count
        return switch `operator` {
        case "In", "NotIn": count > 0
        case "Exists", "DoesNotExist": count == 0
        case "Gt", "Lt": count == 1 && Int64((values ?? [""])[0]) != nil
        default: false
        }
    }

    /// A field selector supports only `metadata.name` with one value.
    fileprivate var isValidField: Bool {
        key == "metadata.name" && (`operator` == "In" || `operator` == "NotIn") && (values ?? []).count == 1
    }
}

extension NodeSelectorTerm {
    /// All requirements must hold. An empty term matches nothing, and so does one with an invalid requirement.
    public func matches(_ node: Node) -> Bool {
        let expressions = matchExpressions ?? []
        let fields = matchFields ?? []
        guard !expressions.isEmpty || !fields.isEmpty else { return false }
        guard expressions.allSatisfy(\.isValid), fields.allSatisfy(\.isValidField) else { return false }
        let labels = node.metadata.labels ?? [:]
        let name = ["metadata.name": node.metadata.name ?? ""]
        return expressions.allSatisfy { $0.matches(labels) } && fields.allSatisfy { $0.matches(name) }
    }
}

extension NodeSelector {
    /// One matching term is enough. Without terms nothing matches.
    public func matches(_ node: Node) -> Bool {
        nodeSelectorTerms.contains { $0.matches(node) }
    }
}

extension NodeAffinity {
    /// Whether the required rules allow the node. Without such rules they do.
    public func allows(_ node: Node) -> Bool {
        requiredDuringSchedulingIgnoredDuringExecution.map { $0.matches(node) } ?? true
    }

    /// The sum of the weights of the preferred terms that match.
    public func preference(for node: Node) -> Int {
        (preferredDuringSchedulingIgnoredDuringExecution ?? []).reduce(0) { sum, term in
            // The scheduler skips a weight of zero, and an empty preference matches nothing.
            term.preference.matches(node) ? sum + Int(term.weight) : sum
        }
    }
}

extension Node {
    /// Whether a pod with this selector and affinity may run here. Ignores taints and resources.
    public func matches(nodeSelector: [String: String]?, affinity: NodeAffinity?) -> Bool {
        let labels = metadata.labels ?? [:]
        return (nodeSelector ?? [:]).allSatisfy { labels[$0.key] == $0.value } && affinity?.allows(self) ?? true
    }
}
