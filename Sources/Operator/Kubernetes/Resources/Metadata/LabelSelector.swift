/// Chooses objects by their labels, as `metav1.LabelSelector`: all its requirements must hold. An empty selector
/// chooses all objects.
public struct LabelSelector: Codable, Sendable, Hashable {
    public var matchLabels: [String: String]?
    public var matchExpressions: [LabelSelectorRequirement]?

    public init(matchLabels: [String: String]? = nil, matchExpressions: [LabelSelectorRequirement]? = nil) {
        self.matchLabels = matchLabels
        self.matchExpressions = matchExpressions
    }

    /// Whether the selector chooses an object with `labels`.
    public func matches(_ labels: [String: String]) -> Bool {
        (matchLabels ?? [:]).allSatisfy { labels[$0.key] == $0.value }
            && (matchExpressions ?? []).allSatisfy { $0.matches(labels) }
    }

    /// The selector as query text, for ``ListOptions/labelSelector``: "a=b,c in (d,e),!f".
    public var queryText: String {
        let labels = (matchLabels ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return (labels + (matchExpressions ?? []).map(\.queryText)).joined(separator: ",")
    }
}

/// One requirement on a label.
public struct LabelSelectorRequirement: Codable, Sendable, Hashable {
    public var key: String
    /// "In", "NotIn", "Exists" or "DoesNotExist". Any other operator never matches.
    public var `operator`: String
    public var values: [String]?

    public init(key: String, operator: String, values: [String]? = nil) {
        self.key = key
        self.operator = `operator`
        self.values = values
    }

    /// `NotIn` also holds for an object without the label
    /// (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#set-based-requirement).
    public func matches(_ labels: [String: String]) -> Bool {
        switch `operator` {
        case "In": labels[key].map { (values ?? []).contains($0) } ?? false
        case "NotIn": labels[key].map { !(values ?? []).contains($0) } ?? true
        case "Exists": labels[key] != nil
        case "DoesNotExist": labels[key] == nil
        default: false
        }
    }

    var queryText: String {
        let list = (values ?? []).sorted().joined(separator: ",")
        return switch `operator` {
        case "In": "\(key) in (\(list))"
        case "NotIn": "\(key) notin (\(list))"
        case "DoesNotExist": "!\(key)"
        default: key
        }
    }
}
