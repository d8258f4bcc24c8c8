/// Which objects a list answers and how fresh they must be.
public struct ListOptions: Sendable, Hashable {
    /// "a=b,c in (d,e),!f"; ``LabelSelector/queryText`` makes one.
    public var labelSelector: String?
    /// "metadata.name=x", "spec.nodeName=y": the few fields the server knows for the kind.
    public var fieldSelector: String?
    /// Objects a page. The server may send fewer, and sends all from its cache when ``resourceVersion`` is "0".
    public var limit: Int?
    /// What the page before named as the next.
    public var `continue`: String?
    /// Nil: the newest, read through a quorum. "0": whatever the server's cache holds, cheapest, possibly stale.
    public var resourceVersion: String?
    /// "NotOlderThan" or "Exact"; only with a version (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
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

/// What a watch sends and from where.
public struct WatchOptions: Sendable, Hashable {
    public var labelSelector: String?
    public var fieldSelector: String?
    /// Everything after this version; nil begins with an ADDED for every object there is.
    public var resourceVersion: String?
    /// The server ends the watch after this long; nil: its own choice of 30 to 60 minutes.
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

/// Who writes, and whether in earnest.
public struct WriteOptions: Sendable, Hashable {
    /// The name under which the server keeps what this writer owns.
    public var fieldManager: String?
    /// Everything is checked and answered, nothing stored.
    public var dryRun: Bool

    public init(fieldManager: String? = nil, dryRun: Bool = false) {
        self.fieldManager = fieldManager
        self.dryRun = dryRun
    }
}

/// How an object is deleted.
public struct DeleteOptions: Sendable, Hashable {
    /// What becomes of dependents.
    public enum Propagation: String, Sendable, Hashable, Codable {
        /// The object goes at once, the garbage collector deletes dependents after it.
        case background = "Background"
        /// The object stays until its dependents are gone.
        case foreground = "Foreground"
        /// Dependents stay, without an owner.
        case orphan = "Orphan"
    }

    /// Nil: the kind's own default, which for Jobs through `batch/v1` is to orphan their pods.
    public var propagation: Propagation?
    /// The deletion is a Conflict when the object has another uid: another object of the same name is safe.
    public var uid: String?
    /// The deletion is a Conflict when the object changed since.
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

/// What a deletion answered: the object that is now going, or the news that it is gone.
public enum DeleteOutcome<Resource: KubernetesResource>: Sendable {
    /// Finalizers, a grace period or foreground propagation still hold it.
    case pending(Resource)
    case gone
}
