/// The objects that a list returns, and how fresh they must be.
public struct ListOptions: Sendable, Hashable {
    /// "a=b,c in (d,e),!f"; ``LabelSelector/queryText`` makes one.
    public var labelSelector: String?
    /// "metadata.name=x", "spec.nodeName=y": one of the few fields that the server indexes for the kind.
    public var fieldSelector: String?
    /// Objects in a page. The server may send fewer, and sends all from its cache when ``resourceVersion`` is "0".
    public var limit: Int?
    /// The continue token of the page before.
    public var `continue`: String?
    /// Nil: the newest, read through a quorum. "0": the server's cache, cheapest, possibly stale.
    public var resourceVersion: String?
    /// "NotOlderThan" or "Exact"; only with a version.
    /// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    public var resourceVersionMatch: String?

    public init(
        labelSelector: String? = nil, fieldSelector: String? = nil, limit: Int? = nil, continue: String? = nil,
        resourceVersion: String? = nil, resourceVersionMatch: String? = nil
    ) {
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.limit = limit
        self.continue = `continue`
        self.resourceVersion = resourceVersion
        self.resourceVersionMatch = resourceVersionMatch
    }
}

/// The events that a watch sends, and the version from which it starts.
public struct WatchOptions: Sendable, Hashable {
    public var labelSelector: String?
    public var fieldSelector: String?
    /// The watch sends all events after this version; nil begins with an ADDED for every existing object.
    public var resourceVersion: String?
    /// The server ends the watch after this time; nil: its own choice of 30 to 60 minutes.
    public var timeout: Duration?
    /// Ask for BOOKMARK events, which move the version on when nothing that matches changes.
    public var allowBookmarks: Bool

    public init(
        labelSelector: String? = nil, fieldSelector: String? = nil, resourceVersion: String? = nil,
        timeout: Duration? = nil, allowBookmarks: Bool = true
    ) {
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.resourceVersion = resourceVersion
        self.timeout = timeout
        self.allowBookmarks = allowBookmarks
    }
}

/// The field manager of a write, and whether it is a dry run.
public struct WriteOptions: Sendable, Hashable {
    /// The name under which the server keeps this writer's fields.
    public var fieldManager: String?
    /// The server checks and responds, but stores nothing.
    public var dryRun: Bool

    public init(fieldManager: String? = nil, dryRun: Bool = false) {
        self.fieldManager = fieldManager
        self.dryRun = dryRun
    }
}

/// How the server deletes an object.
public struct DeleteOptions: Sendable, Hashable {
    /// How the deletion affects dependents.
    public enum Propagation: String, Sendable, Hashable, Codable {
        /// The server deletes the object at once; the garbage collector deletes dependents after it.
        case background = "Background"
        /// The object stays until its dependents are gone.
        case foreground = "Foreground"
        /// Dependents stay, without an owner.
        case orphan = "Orphan"
    }

    /// Nil: the kind's own default, which for Jobs through `batch/v1` is to orphan their pods.
    public var propagation: Propagation?
    /// The deletion is a Conflict when the object has another uid, so that a new object of the same name is safe.
    public var uid: String?
    /// The deletion is a Conflict when the object has changed since this version.
    public var resourceVersion: String?
    public var gracePeriodSeconds: Int64?
    public var dryRun: Bool

    public init(
        propagation: Propagation? = nil, uid: String? = nil, resourceVersion: String? = nil,
        gracePeriodSeconds: Int64? = nil, dryRun: Bool = false
    ) {
        self.propagation = propagation
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.gracePeriodSeconds = gracePeriodSeconds
        self.dryRun = dryRun
    }
}

/// The response to a deletion: the object that is being deleted, or the news that it is gone.
public enum DeleteOutcome<Resource: KubernetesResource>: Sendable {
    /// Finalizers, a grace period or foreground propagation still hold it.
    case pending(Resource)
    case gone
}
