public import AgentAPI

/// The models that an agent has and the work that it does; also the JSON of `GET /v1/status` and of
/// `modelcache status --json`.
public struct AgentStatus: Codable, Equatable, Sendable {
    public var version: String
    /// The Kubernetes node's name, or the machine's; nil on a cache's own socket, and from an agent of an earlier
    /// release.
    public var node: String?
    public var processID: Int32
    public var root: String
    public var medium: String
    public var uptimeSeconds: Double
    public var budgetBytes: Int64
    public var cachedBytes: Int64
    /// Bytes that no eviction frees: of models that are pinned or in use. Nil on a cache's own socket, and from an
    /// agent of an earlier release.
    public var heldBytes: Int64?
    /// The bound on bytes staged between network and cache.
    public var inFlightLimitBytes: Int64
    public var inFlightBytes: Int64
    public var sessions: Int
    public var models: [ModelStatus]
    /// Callers that ModelCaches' sockets turned away, by the check that they failed; nil on a cache's own socket.
    public var refusedCallers: [String: Int64]?
    /// The roles that fills read as now; nil on a cache's own socket.
    public var credentials: [CredentialsStatus]?
    /// Fetches of credentials since the agent started, by provider; nil on a cache's own socket.
    public var renewals: [String: RenewalStatus]?

    package init(
        version: String, node: String? = nil, processID: Int32, root: String, medium: String, uptimeSeconds: Double,
        budgetBytes: Int64, cachedBytes: Int64, heldBytes: Int64? = nil, inFlightLimitBytes: Int64,
        inFlightBytes: Int64, sessions: Int,
        models: [ModelStatus]
    ) {
        self.version = version
        self.node = node
        self.processID = processID
        self.root = root
        self.medium = medium
        self.uptimeSeconds = uptimeSeconds
        self.budgetBytes = budgetBytes
        self.cachedBytes = cachedBytes
        self.heldBytes = heldBytes
        self.inFlightLimitBytes = inFlightLimitBytes
        self.inFlightBytes = inFlightBytes
        self.sessions = sessions
        self.models = models
    }
}

/// The temporary credentials of one role. Nothing in it is secret.
public struct CredentialsStatus: Codable, Equatable, Sendable {
    /// As the metrics' label: `ram-role`, `iam-role`, `container`, `ecs-instance`, `ec2-instance`.
    public var provider: String
    /// Such as the role's ARN.
    public var principal: String
    /// Seconds since 1970; nil: none were given.
    public var expiry: Int64?
    /// Why the newest fetch failed; nil: it did not.
    public var problem: String?
}

/// How fetches of credentials ended.
public struct RenewalStatus: Codable, Equatable, Sendable {
    public var fetched: Int64
    /// The service said no.
    public var refused: Int64
    /// The service did not answer.
    public var unavailable: Int64
}

extension AgentStatus {
    /// ``ModelStatus/reason`` of a model whose store cannot be reached.
    public static let unreachableReason = "EndpointUnreachable"
}

/// One cached model.
public struct ModelStatus: Codable, Equatable, Sendable {
    public enum Phase: String, Codable, Sendable {
        case filling, complete, failed
        /// A ModelCache's volume stands, without bytes.
        case prepared
    }

    /// Of a ModelCache: its uid.
    public var id: String
    /// Of a ModelCache.
    public var namespace: String?
    /// Of a ModelCache.
    public var name: String?
    /// `oss://bucket/prefix/`
    public var source: String
    public var endpoint: String
    public var directory: String
    public var phase: Phase
    /// Why the phase is failed; one line.
    public var message: String?
    /// The same in the words of a ModelCache's conditions, such as `EndpointUnreachable`; nil: it did not fail, or an
    /// agent of another version.
    public var reason: String?
    public var files: Int
    public var completeFiles: Int
    public var totalBytes: Int64
    public var presentBytes: Int64
    public var bytesPerSecond: Double
    /// Nil when nothing moves.
    public var remainingSeconds: Double?
    /// Body bytes received from the store, repeated ones included.
    public var originBytes: Int64
    /// Body bytes received from other nodes, repeated ones included.
    public var peerBytes: Int64
    /// Bytes copied from other caches of this node. Nil: the agent is of a version that copies none.
    public var copiedBytes: Int64?
    /// Of ``bytesPerSecond`` what comes from the store; nil: nothing, or the agent is of an earlier release.
    public var originBytesPerSecond: Double?
    /// The nodes that gave the most, at most ``PeerTraffic/most``; nil: none, or an agent of an earlier release.
    public var peers: [PeerTraffic]?
    /// Body bytes sent to other nodes.
    public var servedBytes: Int64
    /// Bytes of the messages sent to other nodes about who holds what. Nil: the agent is of a version that does not
    /// count them.
    public var controlBytes: Int64?
    /// Blocks that other nodes sent or described wrongly.
    public var wrongPeerBlocks: Int64
    /// The nodes that did, by address.
    public var wrongPeers: [String: Int64]?
    public var requests: Int64
    public var retries: Int64
    public var throttled: Int64
    /// Whole files whose digest was wrong and that were read again.
    public var refilledFiles: Int64
    public var transfersInFlight: Int
    public var users: Int
    public var pinned: Bool
    public var idleSeconds: Double
    /// Facts that a person should know though the model loads; nil: none, or an agent of another version.
    public var warnings: [ModelWarning]?
}

extension ModelStatus {
    /// `namespace/name` of a ModelCache, else the id.
    public var title: String {
        if let namespace, let name { "\(namespace)/\(name)" } else { id }
    }

    /// 0 to 100: below the last byte it is no 100.
    public var presentPercent: Int {
        guard totalBytes > 0 else { return 100 }
        return Int((Double(presentBytes) / Double(totalBytes) * 100).rounded(.down))
    }
}

/// One object that was left out, cannot be read or could not be checked; or a fact about the store.
public struct ModelWarning: Codable, Hashable, Sendable {
    /// The key below the model's prefix, as far as it is text; nil: it concerns the model.
    public var object: String?
    /// One line: the reason, with the remedy where there is one.
    public var message: String

    public init(object: String? = nil, _ message: String) {
        self.object = object
        self.message = message
    }

    /// For a person, on one line.
    public var line: String {
        let key = object.map { key in
            key.unicodeScalars.map {
                $0.value < 0x20 || $0.value == 0x7f ? "\\u{\(String($0.value, radix: 16))}" : "\($0)"
            }
            .joined()
        }
        return (key.map { "\($0): " } ?? "") + message
    }

    /// Of a fill that the store slows down; it has no number, so that it is one warning while the number grows.
    static let throttled = ModelWarning(
        "the store asks for fewer requests, so the load is slow; raise the bucket's limit, or let fewer nodes load at once")

    /// At most this many of one kind; the last says how many more there are.
    static let mostOfAKind = 20

    static func bounded(_ all: [ModelWarning], _ kind: String) -> [ModelWarning] {
        guard all.count > mostOfAKind else { return all }
        return all.prefix(mostOfAKind - 1) + [ModelWarning("\(all.count - mostOfAKind + 1) more objects \(kind)")]
    }
}
