/// The result of listing the source.
public struct SourceStatus: Codable, Sendable, Equatable {
    public var totalBytes: Int64
    public var files: Int
    /// `sha256:<hex>` over the sorted list of keys, sizes and ETags.
    public var digest: String?
    /// `totalBytes` for the column, such as `253 MB`.
    public var size: String?
    /// A hash of the immutable fields of the `spec.source` that was resolved: `uri` and `include`. Where the server
    /// does not enforce immutability, the operator compares it.
    public var fingerprint: String?
    /// The region from the nodes' labels, where the spec names neither endpoint nor region. It does not change when
    /// nodes come and go later.
    public var region: String?

    public init(
        totalBytes: Int64, files: Int, digest: String? = nil, size: String? = nil, fingerprint: String? = nil,
        region: String? = nil
    ) {
        self.totalBytes = totalBytes
        self.files = files
        self.digest = digest
        self.size = size
        self.fingerprint = fingerprint
        self.region = region
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case totalBytes, files, digest, size, fingerprint, region
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.totalBytes = try container.decode(.totalBytes, or: 0)
        self.files = try container.decode(.files, or: 0)
        self.digest = try container.decodeIfPresent(String.self, forKey: .digest)
        self.size = try container.decodeIfPresent(String.self, forKey: .size)
        self.fingerprint = try container.decodeIfPresent(String.self, forKey: .fingerprint)
        self.region = try container.decodeIfPresent(String.self, forKey: .region)
    }
}

/// The number of nodes in each state.
public struct NodesStatus: Codable, Sendable, Equatable {
    /// Nodes that should have a full copy.
    public var desired: Int
    public var ready: Int
    public var warming: Int
    public var failed: Int
    /// `ready/desired` for the column.
    public var summary: String?
    /// The nodes of most interest, at most `maximumDetails`: failed ones first, then warming, pending, ready.
    public var details: [NodeDetail]

    /// Bounded, because each change rewrites the complete status, even with a thousand nodes.
    public static let maximumDetails = 100

    public init(
        desired: Int = 0, ready: Int = 0, warming: Int = 0, failed: Int = 0, summary: String? = nil,
        details: [NodeDetail] = []
    ) {
        self.desired = desired
        self.ready = ready
        self.warming = warming
        self.failed = failed
        self.summary = summary
        self.details = details
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case desired, ready, warming, failed, summary, details
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.desired = try container.decode(.desired, or: 0)
        self.ready = try container.decode(.ready, or: 0)
        self.warming = try container.decode(.warming, or: 0)
        self.failed = try container.decode(.failed, or: 0)
        self.summary = try container.decodeIfPresent(String.self, forKey: .summary)
        self.details = try container.decode(.details, or: [])
    }
}

/// One node in `status.nodes.details`.
public struct NodeDetail: Codable, Sendable, Equatable {
    public enum State: String, Codable, Sendable, CaseIterable {
        case pending = "Pending"
        case warming = "Warming"
        case ready = "Ready"
        case failed = "Failed"
    }

    public static let maximumMessageLength = 256

    public var name: String
    public var state: State
    /// 0 to 100, of this node's copy.
    public var percent: Int
    /// Why it failed, or why it waits; absent when there is nothing to report. At most 256 characters.
    public var message: String?

    public init(name: String, state: State, percent: Int, message: String? = nil) {
        self.name = name
        self.state = state
        self.percent = percent
        self.message = message
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, state, percent, message
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.name = try container.decode(String.self, forKey: .name)
        self.state = State(rawValue: try container.decode(String.self, forKey: .state)) ?? .pending
        self.percent = try container.decode(.percent, or: 0)
        self.message = try container.decodeIfPresent(String.self, forKey: .message)
    }
}

/// Over all nodes that should have a full copy.
public struct ProgressStatus: Codable, Sendable, Equatable {
    public var bytesCached: Int64
    public var bytesTotal: Int64
    public var bytesPerSecond: Int64
    /// Absent while no bytes arrive.
    public var remainingSeconds: Int64?
    /// 0 to 100.
    public var percent: Int
    /// `percent` for the column, such as `42%`.
    public var summary: String?

    public init(
        bytesCached: Int64 = 0, bytesTotal: Int64 = 0, bytesPerSecond: Int64 = 0, remainingSeconds: Int64? = nil,
        percent: Int = 0, summary: String? = nil
    ) {
        self.bytesCached = bytesCached
        self.bytesTotal = bytesTotal
        self.bytesPerSecond = bytesPerSecond
        self.remainingSeconds = remainingSeconds
        self.percent = percent
        self.summary = summary
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case bytesCached, bytesTotal, bytesPerSecond, remainingSeconds, percent, summary
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.bytesCached = try container.decode(.bytesCached, or: 0)
        self.bytesTotal = try container.decode(.bytesTotal, or: 0)
        self.bytesPerSecond = try container.decode(.bytesPerSecond, or: 0)
        self.remainingSeconds = try container.decodeIfPresent(Int64.self, forKey: .remainingSeconds)
        self.percent = try container.decode(.percent, or: 0)
        self.summary = try container.decodeIfPresent(String.self, forKey: .summary)
    }
}

/// Bytes moved for this ModelCache since the agents started.
public struct TrafficStatus: Codable, Sendable, Equatable {
    /// Bytes read from the object store.
    public var originBytes: Int64
    /// Bytes received from other nodes.
    public var peerBytes: Int64
    /// Bytes copied from other caches of the same nodes.
    public var copiedBytes: Int64

    public init(originBytes: Int64 = 0, peerBytes: Int64 = 0, copiedBytes: Int64 = 0) {
        self.originBytes = originBytes
        self.peerBytes = peerBytes
        self.copiedBytes = copiedBytes
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case originBytes, peerBytes, copiedBytes
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.originBytes = try container.decode(.originBytes, or: 0)
        self.peerBytes = try container.decode(.peerBytes, or: 0)
        self.copiedBytes = try container.decode(.copiedBytes, or: 0)
    }
}

/// Nodes that left the cluster with a copy of the model, or lost the label by which agents are chosen. One that returns
/// may have its copy still.
public struct DepartedNodes: Codable, Sendable, Hashable {
    public static let maximumNames = 20

    /// The latest first, at most ``maximumNames``.
    public var names: [String]
    /// How many left before these. They are counted alone.
    public var leftOut: Int

    public init(names: [String], leftOut: Int = 0) {
        self.names = names
        self.leftOut = leftOut
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case names, leftOut
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.names = try container.decode(.names, or: [])
        self.leftOut = try container.decode(.leftOut, or: 0)
    }
}
