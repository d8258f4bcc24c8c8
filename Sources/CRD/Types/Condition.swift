/// `metav1.Condition`.
///
/// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties
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
}

/// The conditions of a ModelCache.
public enum ConditionType: String, Sendable, CaseIterable {
    /// Every node that should have the model has it.
    case ready = "Ready"
    /// The source was listed with the ModelCache's own credentials.
    case sourceResolved = "SourceResolved"
    /// Nodes are being warmed, or would be.
    case progressing = "Progressing"
    /// Some node has failed or cannot be reached.
    case degraded = "Degraded"
    /// Fewer nodes than wanted have room for the model.
    case capacityExceeded = "CapacityExceeded"
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
    case storeError = "StoreError"
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
    // Degraded=False
    case allHealthy = "AllHealthy"
    // CapacityExceeded
    case insufficientCapacity = "InsufficientCapacity"
    case sufficientCapacity = "SufficientCapacity"
    // Deletion
    case evicting = "Evicting"
    case inUse = "InUse"
    case evictionRefused = "EvictionRefused"
}
