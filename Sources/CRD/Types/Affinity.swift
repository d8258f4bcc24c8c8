// Equal to core/v1's types, so that a pod's affinity can be copied here and back.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#NodeAffinity

/// Node affinity alone, since a cache has no pods to be near to.
public struct Affinity: Codable, Sendable, Equatable {
    public var nodeAffinity: NodeAffinity?

    public init(nodeAffinity: NodeAffinity? = nil) {
        self.nodeAffinity = nodeAffinity
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case nodeAffinity
    }
}

public struct NodeAffinity: Codable, Sendable, Equatable {
    /// A node that does not match gets no copy.
    public var requiredDuringSchedulingIgnoredDuringExecution: NodeSelector?
    /// Nodes that match are chosen first, by the sum of the weights.
    public var preferredDuringSchedulingIgnoredDuringExecution: [PreferredSchedulingTerm]

    public init(required: NodeSelector? = nil, preferred: [PreferredSchedulingTerm] = []) {
        self.requiredDuringSchedulingIgnoredDuringExecution = required
        self.preferredDuringSchedulingIgnoredDuringExecution = preferred
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case requiredDuringSchedulingIgnoredDuringExecution, preferredDuringSchedulingIgnoredDuringExecution
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.requiredDuringSchedulingIgnoredDuringExecution = try container.decodeIfPresent(
            NodeSelector.self, forKey: .requiredDuringSchedulingIgnoredDuringExecution)
        self.preferredDuringSchedulingIgnoredDuringExecution = try container.decode(
            .preferredDuringSchedulingIgnoredDuringExecution, or: [])
    }
}

/// Matches where any of its terms does.
public struct NodeSelector: Codable, Sendable, Equatable {
    public var nodeSelectorTerms: [NodeSelectorTerm]

    public init(nodeSelectorTerms: [NodeSelectorTerm]) {
        self.nodeSelectorTerms = nodeSelectorTerms
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case nodeSelectorTerms
    }
}

/// Matches where all of its requirements do; an empty term matches no node.
public struct NodeSelectorTerm: Codable, Sendable, Equatable {
    /// Requirements on the node's labels.
    public var matchExpressions: [NodeSelectorRequirement]
    /// Requirements on the node's fields; Kubernetes knows only `metadata.name`.
    public var matchFields: [NodeSelectorRequirement]

    public init(matchExpressions: [NodeSelectorRequirement] = [], matchFields: [NodeSelectorRequirement] = []) {
        self.matchExpressions = matchExpressions
        self.matchFields = matchFields
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case matchExpressions, matchFields
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.matchExpressions = try container.decode(.matchExpressions, or: [])
        self.matchFields = try container.decode(.matchFields, or: [])
    }
}

public struct NodeSelectorRequirement: Codable, Sendable, Equatable {
    public enum Operator: String, Codable, Sendable, CaseIterable {
        case `in` = "In"
        case notIn = "NotIn"
        case exists = "Exists"
        case doesNotExist = "DoesNotExist"
        /// The label's value is an integer greater than the given one.
        case greaterThan = "Gt"
        case lessThan = "Lt"
    }

    public var key: String
    public var `operator`: Operator
    /// At least one for In and NotIn, none for Exists and DoesNotExist, one integer for Gt and Lt.
    public var values: [String]

    public init(key: String, operator: Operator, values: [String] = []) {
        self.key = key
        self.operator = `operator`
        self.values = values
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case key, `operator`, values
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.key = try container.decode(String.self, forKey: .key)
        self.operator = try container.decode(Operator.self, forKey: .operator)
        self.values = try container.decode(.values, or: [])
    }
}

public struct PreferredSchedulingTerm: Codable, Sendable, Equatable {
    /// 1 to 100.
    public var weight: Int
    public var preference: NodeSelectorTerm

    public init(weight: Int, preference: NodeSelectorTerm) {
        self.weight = weight
        self.preference = preference
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case weight, preference
    }
}
