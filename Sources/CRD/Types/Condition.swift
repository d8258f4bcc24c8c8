/// `metav1.Condition`; see "Typical status properties" in
/// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
public struct Condition: Codable, Sendable, Equatable {
    public enum Status: String, Codable, Sendable, CaseIterable {
        case `true` = "True"
        case `false` = "False"
        case unknown = "Unknown"
    }

    /// A `ConditionType`; text, so that a newer operator's conditions can be read.
    public var type: String
    public var status: Status
    public var observedGeneration: Int64?
    /// When `status` last changed, RFC 3339.
    public var lastTransitionTime: String
    /// CamelCase, for programs; see `ConditionReason`.
    public var reason: String
    /// For people, with the remedy.
    public var message: String

    public init(
        type: ConditionType, status: Status, observedGeneration: Int64? = nil, lastTransitionTime: String,
        reason: ConditionReason, message: String
    ) {
        self.type = type.rawValue
        self.status = status
        self.observedGeneration = observedGeneration
        self.lastTransitionTime = lastTransitionTime
        self.reason = reason.rawValue
        self.message = message
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case type, status, observedGeneration, lastTransitionTime, reason, message
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.type = try container.decode(String.self, forKey: .type)
        self.status = Status(rawValue: try container.decode(String.self, forKey: .status)) ?? .unknown
        self.observedGeneration = try container.decodeIfPresent(Int64.self, forKey: .observedGeneration)
        self.lastTransitionTime = try container.decode(String.self, forKey: .lastTransitionTime)
        self.reason = try container.decode(.reason, or: "")
        self.message = try container.decode(.message, or: "")
    }
}

/// The conditions of a ModelCache.
public enum ConditionType: String, Sendable, CaseIterable {
    /// Every node that should have the model has it.
    case ready = "Ready"
    /// The source was listed with the ModelCache's own credentials.
    case sourceResolved = "SourceResolved"
    /// Nodes are being warmed, or wait for their warm-up.
    case progressing = "Progressing"
    /// Some node has failed or cannot be reached.
    case degraded = "Degraded"
    /// Too few nodes have capacity for the model.
    case capacityExceeded = "CapacityExceeded"
    /// The source holds other objects than those that were resolved first. Absent until then.
    case sourceChanged = "SourceChanged"
}

/// The reasons of conditions and Events, in one list, since people search for them.
public enum ConditionReason: String, Sendable, CaseIterable {
    // Ready=True
    case allNodesReady = "AllNodesReady"
    // SourceResolved=True
    case resolved = "Resolved"
    // SourceResolved=False
    case secretNotFound = "SecretNotFound"
    case secretInvalid = "SecretInvalid"
    case invalidSpec = "InvalidSpec"
    case sourceImmutable = "SourceImmutable"
    case mediumImmutable = "MediumImmutable"
    case accessDenied = "AccessDenied"
    case noSuchBucket = "NoSuchBucket"
    case sourceEmpty = "SourceEmpty"
    case endpointUnreachable = "EndpointUnreachable"
    case clockSkewed = "ClockSkewed"
    /// Also of Degraded: some objects are archived, or their key refuses.
    case objectsUnreadable = "ObjectsUnreadable"
    case storeError = "StoreError"
    case digestMismatch = "DigestMismatch"
    // SourceResolved=Unknown
    case resolving = "Resolving"
    // Progressing
    case warming = "Warming"
    case suspended = "Suspended"
    case waitingForAgents = "WaitingForAgents"
    case tokenKeysUnknown = "TokenKeysUnknown"
    case noMatchingNodes = "NoMatchingNodes"
    case complete = "Complete"
    // Degraded
    case nodesFailed = "NodesFailed"
    case agentUnreachable = "AgentUnreachable"
    case deadlineExceeded = "DeadlineExceeded"
    case backoffLimitExceeded = "BackoffLimitExceeded"
    case namespaceForbidsWarmup = "NamespaceForbidsWarmup"
    /// Also of Ready and Progressing.
    case claimTerminating = "ClaimTerminating"
    // Degraded=False
    case allHealthy = "AllHealthy"
    // CapacityExceeded
    case insufficientCapacity = "InsufficientCapacity"
    /// Also of Ready and Progressing.
    case namespaceQuotaExceeded = "NamespaceQuotaExceeded"
    case sufficientCapacity = "SufficientCapacity"
    // SourceChanged=True
    case objectsChanged = "ObjectsChanged"
    // Deletion
    case evicting = "Evicting"
    case inUse = "InUse"
    case evictionRefused = "EvictionRefused"
}
