/// The part of `metav1.ObjectMeta` that ModelCache needs.
///
/// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
public struct ObjectMeta: Codable, Sendable, Equatable {
    public var name: String
    public var namespace: String?
    public var uid: String?
    /// Counts the changes of the spec; `status.observedGeneration` names the last one that the operator handled.
    public var generation: Int64?
    public var resourceVersion: String?
    /// RFC 3339, as are all times here.
    public var creationTimestamp: String?
    public var deletionTimestamp: String?
    public var finalizers: [String]
    public var labels: [String: String]
    public var annotations: [String: String]

    public init(
        name: String = "", namespace: String? = nil, uid: String? = nil, generation: Int64? = nil,
        resourceVersion: String? = nil, creationTimestamp: String? = nil, deletionTimestamp: String? = nil,
        finalizers: [String] = [], labels: [String: String] = [:], annotations: [String: String] = [:]
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.generation = generation
        self.resourceVersion = resourceVersion
        self.creationTimestamp = creationTimestamp
        self.deletionTimestamp = deletionTimestamp
        self.finalizers = finalizers
        self.labels = labels
        self.annotations = annotations
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, namespace, uid, generation, resourceVersion, creationTimestamp, deletionTimestamp, finalizers
        case labels, annotations
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.name = try container.decode(.name, or: "")
        self.namespace = try container.decodeIfPresent(String.self, forKey: .namespace)
        self.uid = try container.decodeIfPresent(String.self, forKey: .uid)
        self.generation = try container.decodeIfPresent(Int64.self, forKey: .generation)
        self.resourceVersion = try container.decodeIfPresent(String.self, forKey: .resourceVersion)
        self.creationTimestamp = try container.decodeIfPresent(String.self, forKey: .creationTimestamp)
        self.deletionTimestamp = try container.decodeIfPresent(String.self, forKey: .deletionTimestamp)
        self.finalizers = try container.decode(.finalizers, or: [])
        self.labels = try container.decode(.labels, or: [:])
        self.annotations = try container.decode(.annotations, or: [:])
    }
}
