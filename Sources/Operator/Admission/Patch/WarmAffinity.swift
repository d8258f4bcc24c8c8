internal import Kubernetes

/// The preference for nodes that have the models already, or most of their bytes. Preferred, never required: a cold
/// node works too.
enum WarmAffinity {
    /// A pod has no use for more, and with many warm nodes pods must not all be sent to the same ones.
    static let mostNodes = 16
    private static let hostname = "kubernetes.io/hostname"
    private static let preferred = "preferredDuringSchedulingIgnoredDuringExecution"

    /// - Parameters:
    ///   - seed: chooses the sample of many nodes. Each pod's is another, so that pods spread over all warm nodes.
    ///   - wasInjected: the pod carries these ModelCaches' volumes and annotation; terms of this form are then those
    ///     that were added before, maybe of other nodes, and others are not wanted.
    static func operations(
        _ pod: PodOutline, targets: [InjectionTarget], seed: String, wasInjected: Bool
    ) -> [JSONPatchOperation] {
        // A pod that names its node is not scheduled.
        guard (pod.spec["nodeName"]?.text ?? "").isEmpty else { return [] }
        let weights = weights(of: targets)
        let terms = zip(targets, weights).compactMap { term($0, weight: $1, seed: seed) }
        guard !terms.isEmpty else { return [] }
        let affinity = pod.spec["affinity"] ?? .null
        let nodeAffinity = affinity["nodeAffinity"] ?? .null
        let all = JSONValue.array(terms)
        switch (affinity, nodeAffinity, nodeAffinity[preferred] ?? .null) {
        case (.null, _, _): return [.add("/spec/affinity", ["nodeAffinity": [preferred: all]])]
        case (.object, .null, _): return [.add("/spec/affinity/nodeAffinity", [preferred: all])]
        case (.object, .object, .null): return [.add("/spec/affinity/nodeAffinity/\(preferred)", all)]
        case (.object, .object, .array(let present)):
            guard !wasInjected || !present.contains(where: { isOurs($0) }) else { return [] }
            return terms.filter { term in !present.contains { $0.covers(term) } }
                .map { .add("/spec/affinity/nodeAffinity/\(preferred)/-", $0) }
        default: return []
        }
    }

    private static func term(_ target: InjectionTarget, weight: Int64, seed: String) -> JSONValue? {
        let nodes = sample(Set(target.warmNodeHostnames).subtracting([""]), seed: seed).sorted()
        guard !nodes.isEmpty else { return nil }
        return [
            "weight": .integer(weight),
            "preference": [
                "matchExpressions": [
                    ["key": .string(hostname), "operator": "In", "values": .array(nodes.map { .string($0) })]
                ]
            ],
        ]
    }

    /// A node's score is the sum of the weights that it matches: shares of 100 by bytes send the pod where most of its
    /// bytes are. A weight is 1 to 100
    /// (https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity-weight).
    private static func weights(of targets: [InjectionTarget]) -> [Int64] {
        let bytes = targets.map { max(0, Double($0.totalBytes)) }
        let total = bytes.reduce(0, +)
        return bytes.map { total > 0 ? max(1, Int64(100 * $0 / total)) : max(1, 100 / Int64(targets.count)) }
    }

    private static func isOurs(_ term: JSONValue) -> Bool {
        guard let expressions = term["preference"]?["matchExpressions"]?.elements, expressions.count == 1
        else {
            return false
        }
        return expressions[0]["key"]?.text == hostname && expressions[0]["operator"]?.text == "In"
    }

    /// The nodes whose hash with the seed is lowest: a node that comes or goes changes the samples of few pods.
    private static func sample(_ nodes: Set<String>, seed: String) -> [String] {
        guard nodes.count > mostNodes else { return Array(nodes) }
        let ranked = nodes.map { (rank: hash("\(seed)/\($0)"), name: $0) }
        return ranked.sorted { ($0.rank, $0.name) < ($1.rank, $1.name) }.prefix(mostNodes).map(\.name)
    }

    /// FNV-1a with a final mix (SplitMix64's): the same on every replica, unlike Swift's own.
    private static func hash(_ text: String) -> UInt64 {
        var mixed = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
