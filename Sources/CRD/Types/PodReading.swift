/// One pod's start with one ModelCache, as its node's agent saw it: what the operator tells of an agent's record.
///
/// It stands beside the agents' own record, for the two are read by parties of different releases: the operator reads
/// any agent's, and `kubectl modelcache` any operator's, and knows no agent.
///
/// All times but ``openedAt`` are milliseconds since then, by the agent's own clock. Nil: it has not happened, or the
/// agent does not know.
public struct PodReading: Codable, Sendable, Equatable {
    public var node: String
    /// The pod's `metadata.uid`.
    public var podUID: String
    /// When a process of the pod first asked for the model, in milliseconds since 1970 by the node's clock.
    public var openedAt: Int64
    /// The agent told the program where the model is.
    public var answeredMilliseconds: Int64?
    /// The first bytes that the program waited for were there.
    public var firstByteMilliseconds: Int64?
    /// Every byte of the model was there and verified.
    public var completeMilliseconds: Int64?
    /// No process of the pod has the model open any more.
    public var endedMilliseconds: Int64?
    public var totalBytes: Int64
    /// Were in the cache when the agent answered.
    public var cacheBytes: Int64
    /// Were copied from other caches of the node until the model was complete.
    public var copiedBytes: Int64
    /// Came from other nodes until the model was complete.
    public var peerBytes: Int64
    /// Came from the store until the model was complete.
    public var storeBytes: Int64
    /// The time that the program waited, by cause.
    public var waitMilliseconds: [String: Int64]

    public init(
        node: String, podUID: String, openedAt: Int64, answeredMilliseconds: Int64? = nil,
        firstByteMilliseconds: Int64? = nil, completeMilliseconds: Int64? = nil, endedMilliseconds: Int64? = nil,
        totalBytes: Int64 = 0, cacheBytes: Int64 = 0, copiedBytes: Int64 = 0, peerBytes: Int64 = 0,
        storeBytes: Int64 = 0, waitMilliseconds: [String: Int64] = [:]
    ) {
        self.node = node
        self.podUID = podUID
        self.openedAt = openedAt
        self.answeredMilliseconds = answeredMilliseconds
        self.firstByteMilliseconds = firstByteMilliseconds
        self.completeMilliseconds = completeMilliseconds
        self.endedMilliseconds = endedMilliseconds
        self.totalBytes = totalBytes
        self.cacheBytes = cacheBytes
        self.copiedBytes = copiedBytes
        self.peerBytes = peerBytes
        self.storeBytes = storeBytes
        self.waitMilliseconds = waitMilliseconds
    }
}

/// The starts of all pods that read one ModelCache. The operator serves it for `kubectl modelcache starts`.
public struct ReadingsReport: Codable, Sendable, Equatable {
    /// On the operator's metrics port, with a ModelCache's uid behind it, for callers of ``ReportAccess``. A replica
    /// that does not lead answers 421 (RFC 9110, 15.5.20).
    public static let path = "/starts"

    public var readings: [PodReading]
    /// Nodes with a copy whose agent did not answer, with the reason.
    public var silent: [String: String]

    public init(readings: [PodReading], silent: [String: String] = [:]) {
        self.readings = readings
        self.silent = silent
    }
}
