internal import Kubernetes

/// The wish to be scheduled where the model already is. Preferred, never required: a cold node works too.
enum WarmAffinity {
    static let mostNodes = 100
    private static let hostname = "kubernetes.io/hostname"
    private static let preferred = "preferredDuringSchedulingIgnoredDuringExecution"

    /// - Parameter wasInjected: the pod carries this ModelCache's volume and annotation; a term of this form is then the one that was
    ///   added before, maybe of other nodes, and a second one is not wanted.
    static func operation(_ pod: PodOutline, target: InjectionTarget, wasInjected: Bool) -> JSONPatchOperation? {
        var seen: Set<String> = [""]
        // Those that come first count most; in the pod they stand sorted.
        let nodes = target.warmNodeHostnames.filter { seen.insert($0).inserted }.prefix(mostNodes).sorted()
        // A pod that names its node is not scheduled.
        guard !nodes.isEmpty, (pod.spec["nodeName"]?.text ?? "").isEmpty else { return nil }
        let term: JSONValue = [
            "weight": 100,
            "preference": [
                "matchExpressions": [
                    ["key": .string(hostname), "operator": "In", "values": .array(nodes.map { .string($0) })]
                ]
            ],
        ]
        let affinity = pod.spec["affinity"] ?? .null
        let nodeAffinity = affinity["nodeAffinity"] ?? .null
        switch (affinity, nodeAffinity, nodeAffinity[preferred] ?? .null) {
        case (.null, _, _): return .add("/spec/affinity", ["nodeAffinity": [preferred: [term]]])
        case (.object, .null, _): return .add("/spec/affinity/nodeAffinity", [preferred: [term]])
        case (.object, .object, .null): return .add("/spec/affinity/nodeAffinity/\(preferred)", [term])
        case (.object, .object, .array(let terms)):
            guard !terms.contains(where: { $0.covers(term) || wasInjected && isOurs($0) }) else { return nil }
            return .add("/spec/affinity/nodeAffinity/\(preferred)/-", term)
        default: return nil
        }
    }

    private static func isOurs(_ term: JSONValue) -> Bool {
        guard term["weight"] == 100, let expressions = term["preference"]?["matchExpressions"]?.elements, expressions.count == 1 else {
            return false
        }
        return expressions[0]["key"]?.text == hostname && expressions[0]["operator"]?.text == "In"
    }
}
