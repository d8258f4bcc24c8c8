public import Swarm

/// What the `modelcache` command asks of a running agent, as JSON in `MC_CONTROL`.
public enum ControlRequest: Codable, Equatable, Sendable {
    case status
    /// Who holds and serves what of the models that are shared with other nodes.
    case swarm
    /// Gives up the cached bytes of one model, by id, or of all that nobody uses when nil.
    case evict(model: String?, force: Bool)
    case pin(model: String, pinned: Bool)
}

/// The agent's answer.
public enum ControlResponse: Codable, Equatable, Sendable {
    case status(AgentStatus)
    case swarm([SwarmReport])
    case evicted([String])
    case pinned
    case failed(String)
}

/// An answer's JSON is cut into packets; the first byte of each says whether more follow.
enum ControlFraming {
    static let more: UInt8 = 0x2b  // +
    static let last: UInt8 = 0x2e  // .
    static let partBytes = 48 << 10

    static func packets(_ json: [UInt8]) -> [Packet] {
        var packets: [Packet] = []
        var rest = json[...]
        repeat {
            let part = rest.prefix(partBytes)
            rest = rest.dropFirst(part.count)
            packets.append(.control(json: [rest.isEmpty ? last : more] + part))
        } while !rest.isEmpty
        return packets
    }
}

/// What an agent has and does; also the JSON of `GET /v1/status` and of `modelcache status --json`.
public struct AgentStatus: Codable, Equatable, Sendable {
    public var version: String
    public var processID: Int32
    public var root: String
    public var medium: String
    public var uptimeSeconds: Double
    public var budgetBytes: Int64
    public var cachedBytes: Int64
    /// The bound on bytes staged between network and cache.
    public var inFlightLimitBytes: Int64
    public var inFlightBytes: Int64
    public var sessions: Int
    public var models: [ModelStatus]
    /// Callers that ModelCaches' sockets turned away, by the check that they failed; nil on a cache's own socket.
    public var refusedCallers: [String: Int64]?
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
    /// Body bytes sent to other nodes.
    public var servedBytes: Int64
    /// Bytes of the messages sent to other nodes about who holds what. Nil: the agent is of a version that does not count them.
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
}
