public import Kubernetes

/// The facts that the plan needs about a Node: a few hundred bytes in place of the several kilobytes that an API object
/// has.
///
/// Two views of a node are equal when nothing that matters changed; a heartbeat leaves the view as it was.
public struct NodeView: Sendable, Hashable {
    /// Name, labels and taints alone. Of the taints those that keep pods away (`NoSchedule`, `NoExecute`), without the
    /// ones the cluster derives from ``isReady`` and ``isSchedulable``.
    public let object: Node
    public var isSchedulable: Bool
    public var isReady: Bool
    /// While not ready: since when.
    public var notReadySince: WallTime?
    /// `status.allocatable` of memory, as written.
    public var allocatableMemory: String

    public init(
        name: String, labels: [String: String] = [:], taints: [Taint] = [], isSchedulable: Bool = true,
        isReady: Bool = true,
        notReadySince: WallTime? = nil, allocatableMemory: String = ""
    ) {
        object = Node(metadata: ObjectMeta(name: name, labels: labels), spec: NodeSpec(taints: taints))
        self.isSchedulable = isSchedulable
        self.isReady = isReady
        self.notReadySince = notReadySince
        self.allocatableMemory = allocatableMemory
    }

    public var name: String { object.metadata.name ?? "" }
    public var labels: [String: String] { object.metadata.labels ?? [:] }
    public var taints: [Taint] { object.spec?.taints ?? [] }

    /// The taint of a cordoned node.
    static let cordon = Taint(key: "node.kubernetes.io/unschedulable", effect: "NoSchedule")

    /// Taints that say again what the Ready condition or `spec.unschedulable` says:
    /// https://kubernetes.io/docs/reference/labels-annotations-taints/
    private static let derivedTaints: Set<String> = [
        "node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable",
    ]

    /// A node that is not ready counts as such from when it was first seen: the API server's clock is another.
    public init(_ node: Node, now: WallTime) {
        let taints = (node.spec?.taints ?? [])
            .filter { ($0.effect == "NoSchedule" || $0.effect == "NoExecute") && !Self.derivedTaints.contains($0.key) }
            .map { Taint(key: $0.key, value: $0.value, effect: $0.effect) }
        object = Node(
            metadata: ObjectMeta(name: node.objectKey.name, labels: node.metadata.labels ?? [:]),
            spec: NodeSpec(taints: taints))
        isSchedulable = !(node.spec?.unschedulable ?? false)
        isReady = node.isReady
        allocatableMemory = node.status?.allocatable?["memory"].map { "\($0)" } ?? ""
        if isReady {
            notReadySince = nil
        } else {
            notReadySince = now
        }
    }

    public static let zoneLabel = "topology.kubernetes.io/zone"
    public static let regionLabel = "topology.kubernetes.io/region"

    /// How long a node may be not ready before its work is given to others.
    public static let readinessGrace: Duration = .seconds(60)

    /// Ready, or not ready for so short a time that it may only be a restart of its kubelet.
    public func isAlive(at now: WallTime) -> Bool {
        notReadySince.map { now - $0 < Self.readinessGrace } ?? true
    }
}
