/// One pod's start with one cache, as the agent saw it: an entry of the response to `GET /v1/caches/UID/readers`.
///
/// All times but ``openedAt`` are milliseconds since the pod's first opening, by the agent's monotonic clock. A program
/// that reads bytes that are here asks nobody, so the agent knows nothing of such reads.
public struct ReaderStart: Codable, Equatable, Sendable {
    /// The pod's name, from its verified token.
    public var pod: String
    /// The pod's `metadata.uid`, from its verified token.
    public var podUID: String
    /// When the pod first asked for the model, in milliseconds since 1970 by the node's clock.
    public var openedAt: Int64
    /// The agent had accepted the token.
    public var admittedMilliseconds: Int64?
    /// The agent had found or listed the model, made capacity for it, and told the program where it is.
    public var answeredMilliseconds: Int64?
    /// The first bytes that the program waited for were there; nil: it has waited for none.
    public var firstByteMilliseconds: Int64?
    /// Every byte of the model was there and verified.
    public var completeMilliseconds: Int64?
    /// No process of the pod has the model open any more.
    public var endedMilliseconds: Int64?
    /// The time of this report.
    public var observedMilliseconds: Int64
    /// Of the model.
    public var totalBytes: Int64
    /// Were here when the agent answered.
    public var cacheBytes: Int64
    /// Were copied from other caches of the node until the model was complete.
    public var copiedBytes: Int64
    /// Came from other nodes until the model was complete, repeated ones included.
    public var peerBytes: Int64
    /// Came from the store until the model was complete, repeated ones included.
    public var storeBytes: Int64
    /// The time that the program waited, by cause: `keys`, `opening`, `store`, `peers`, `copy`, `memory`, `queue`,
    /// `check`. Waits of several threads at once count once.
    public var waitMilliseconds: [String: Int64]

    public init(pod: String, podUID: String, openedAt: Int64, observedMilliseconds: Int64) {
        self.pod = pod
        self.podUID = podUID
        self.openedAt = openedAt
        self.observedMilliseconds = observedMilliseconds
        totalBytes = 0
        cacheBytes = 0
        copiedBytes = 0
        peerBytes = 0
        storeBytes = 0
        waitMilliseconds = [:]
    }

    /// Reads an entry of an earlier or later release: only the pod and its first opening must be there.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        podUID = try container.decode(String.self, forKey: .podUID)
        openedAt = try container.decode(Int64.self, forKey: .openedAt)
        pod = container.tolerated(.pod) ?? ""
        admittedMilliseconds = container.tolerated(.admittedMilliseconds)
        answeredMilliseconds = container.tolerated(.answeredMilliseconds)
        firstByteMilliseconds = container.tolerated(.firstByteMilliseconds)
        completeMilliseconds = container.tolerated(.completeMilliseconds)
        endedMilliseconds = container.tolerated(.endedMilliseconds)
        observedMilliseconds = container.tolerated(.observedMilliseconds) ?? 0
        totalBytes = container.toleratedBytes(.totalBytes) ?? 0
        cacheBytes = container.toleratedBytes(.cacheBytes) ?? 0
        copiedBytes = container.toleratedBytes(.copiedBytes) ?? 0
        peerBytes = container.toleratedBytes(.peerBytes) ?? 0
        storeBytes = container.toleratedBytes(.storeBytes) ?? 0
        waitMilliseconds = container.tolerated(.waitMilliseconds) ?? [:]
    }
}

/// The response to `GET /v1/caches/UID/readers`.
public struct ReadersReport: Codable, Equatable, Sendable {
    /// In the order in which the pods first opened the cache.
    public var readers: [ReaderStart]

    public init(readers: [ReaderStart]) { self.readers = readers }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        readers = try container.decode([Tolerated<ReaderStart>].self, forKey: .readers).compactMap(\.value)
    }
}
