/// A node, with the fields that scheduling and reachability need.
public struct Node: MetadataResource, Hashable {
    public static let group = ""
    public static let version = "v1"
    public static let plural = "nodes"
    public static let kind = "Node"
    public static let scope = ResourceScope.cluster

    public var metadata: ObjectMeta
    public var spec: NodeSpec?
    public var status: NodeStatus?

    public init(metadata: ObjectMeta = ObjectMeta(), spec: NodeSpec? = nil, status: NodeStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The settings that keep pods off a node.
public struct NodeSpec: Codable, Sendable, Hashable {
    public var providerID: String?
    public var unschedulable: Bool?
    public var taints: [Taint]?

    public init(providerID: String? = nil, unschedulable: Bool? = nil, taints: [Taint]? = nil) {
        self.providerID = providerID
        self.unschedulable = unschedulable
        self.taints = taints
    }
}

/// Repels pods that do not tolerate it.
public struct Taint: Codable, Sendable, Hashable {
    public var key: String
    public var value: String?
    /// "NoSchedule", "PreferNoSchedule" or "NoExecute".
    public var effect: String
    public var timeAdded: Timestamp?

    public init(key: String, value: String? = nil, effect: String, timeAdded: Timestamp? = nil) {
        self.key = key
        self.value = value
        self.effect = effect
        self.timeAdded = timeAdded
    }
}

/// The kubelet's report about its node.
public struct NodeStatus: Codable, Sendable, Hashable {
    public var conditions: [Condition]?
    public var addresses: [NodeAddress]?
    public var capacity: [String: Quantity]?
    public var allocatable: [String: Quantity]?

    public init(
        conditions: [Condition]? = nil, addresses: [NodeAddress]? = nil, capacity: [String: Quantity]? = nil,
        allocatable: [String: Quantity]? = nil
    ) {
        self.conditions = conditions
        self.addresses = addresses
        self.capacity = capacity
        self.allocatable = allocatable
    }
}

/// One address of a node.
public struct NodeAddress: Codable, Sendable, Hashable {
    /// "InternalIP", "ExternalIP", "Hostname", "InternalDNS" or "ExternalDNS".
    public var type: String
    public var address: String

    public init(type: String, address: String) {
        self.type = type
        self.address = address
    }
}

extension Node {
    /// Whether the kubelet reports the node ready. A node that has stopped reporting is "Unknown", so not ready.
    public var isReady: Bool {
        status?.conditions?.contains { $0.type == "Ready" && $0.status == "True" } ?? false
    }
}
