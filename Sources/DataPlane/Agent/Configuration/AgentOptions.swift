internal import AgentAPI
internal import Foundation
public import LogOutput
internal import ObjectStore
public import RangeTransfer
public import StoreHost
public import Swarm
internal import TextCoding

/// How one agent runs. Made by ``resolve(flags:environment:config:userID:processors:)`` from four sources, the first
/// that names a value wins: command-line flag, environment variable, configuration file, default.
public struct AgentOptions: Equatable, Sendable {
    /// Where cached bytes live.
    public enum Medium: String, Equatable, Sendable, CaseIterable {
        /// A tmpfs with huge pages for each model, mounted by the agent; needs the right to mount.
        case memory
        /// The root directory as it is: a tmpfs somebody else mounted, or any directory without root.
        case directory
        /// A directory on a disk file system: presence persists after fdatasync.
        case disk
    }

    /// When chunks become visible to readers.
    public enum Verification: String, Equatable, Sendable, CaseIterable {
        /// Each chunk as it arrives; the whole file's digest decides publication.
        case streaming
        /// Nothing before the whole file's digest was found right.
        case strict
    }

    /// Folder that holds `models/` and, unless set otherwise, the socket.
    public var root: String
    public var socket: String
    /// `address:port` of the HTTP server; nil for none.
    public var http: String?
    /// `address:port` that serves `/metrics` alone, open to whoever reaches it and without the names of models; nil:
    /// none.
    public var metricsAddress: String?
    public var medium: Medium
    public var verification = Verification.streaming
    /// Most bytes of cached models; nil: what the medium allows.
    public var budgetBytes: Int64?
    /// Most bytes staged between the network and the cache.
    public var inFlightBytes: Int64 = 256 << 20
    /// Most ranged GETs in flight; never more than staging allows.
    public var connections: Int?
    /// Threads that receive from the store.
    public var receiveThreads: Int
    /// How long a model that nobody uses is kept; nil: until its capacity is needed.
    public var expireTime: Duration?
    /// Whether the agent ends when no model is left and nobody is connected.
    public var endsWhenIdle = false
    /// Socket of the mounter that mounts for this agent; nil: it mounts itself if it may.
    public var mounter: String?
    /// Folder for ModelCaches of medium Disk; nil: none are taken.
    public var diskRoot: String?
    /// Most bytes of ModelCaches on the disk; nil: what it allows.
    public var diskBudgetBytes: Int64?
    /// The Kubernetes node, to which signed requests are bound.
    public var nodeName = ""
    /// File of the secret that orders over HTTP are signed with; nil: none are taken.
    public var authSecretFile: String?
    /// Whether a ModelCache's store may be on this machine, as in testbeds.
    public var allowsLoopbackEndpoints = false
    /// Where a ModelCache's credentials may be used.
    public var credentialHosts = CredentialHosts()
    /// Whether a ModelCache may be read with the node's own role.
    public var allowsNodeRole = false
    /// The STS that ModelCaches' roles are assumed at; nil: that of the source's region.
    public var stsEndpoint: String?
    /// How long a caller whose token names a key that is not known yet waits for the operator to bring it: longer than
    /// the operator's pause between two looks and an order to all agents, shorter than the 300 s for which a reader
    /// waits for an answer.
    public var keyPatience: Duration = .seconds(150)
    /// For clients of a ModelCache's socket that do not say: the agent's own `HTTP_SOURCE_IP`, `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR`.
    public var sourceDefaults: [String: String] = [:]
    /// Through which stores are reached: of the agent's own environment alone. A caller's proxy could give any bytes
    /// for the store's, which others would read.
    public var proxies = ProxySettings.none
    /// Where the other nodes are found; nil: models come from the store alone.
    public var peers: PeerSource?
    /// Where this node serves the others.
    public var peerAddress = PeerAddress(host: EveryAddress.host, port: 9418)
    /// By which the others know this node; nil: the one among `peers` that is this machine's.
    public var advertisedPeerAddress: PeerAddress?
    /// The name of this node's zone; empty: none.
    public var zone = ""
    /// Nil: peers speak plain HTTP.
    public var peerTLS: SwarmConfiguration.TLSFiles?
    public var logLevel = 1
    public var logFormat = LogFormat.text
    public var logPath: String?
    public var auditPath: String?

    /// The options that the command line set; nil where it set none.
    public struct Flags: Equatable, Sendable {
        public var root: String?
        public var socket: String?
        public var http: String?
        public var metricsBindAddress: String?
        public var medium: String?
        public var verify: String?
        public var budget: String?
        public var mounter: String?
        public var diskRoot: String?
        public var diskBudget: String?
        public var inFlight: String?
        public var connections: Int?
        public var threads: Int?
        public var expireSeconds: Int?
        public var peers: String?
        public var peerAddress: String?
        public var idleExit = false
        public var logLevel: Int?
        public var logFormat: String?
        public init() {}
    }

    /// The default root: `/run/modelcache` for root; else below `XDG_RUNTIME_DIR`, else in `/dev/shm`.
    public static func defaultRoot(environment: [String: String], userID: UInt32) -> String {
        if userID == 0 { return "/run/modelcache" }
        if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") { return runtime + "/modelcache" }
        return "/dev/shm/modelcache-\(userID)"
    }

    /// The root and socket that client and agent of one environment agree on.
    public static func location(
        root flag: String? = nil, socket socketFlag: String? = nil, environment: [String: String], userID: UInt32
    ) throws -> (root: String, socket: String) {
        let root =
            flag ?? nonEmpty(environment["MODELCACHE_ROOT"]) ?? defaultRoot(environment: environment, userID: userID)
        guard root.hasPrefix("/"), root != "/" else {
            throw SettingError(
                field: "MODELCACHE_ROOT (--root)", value: nil, problem: "is '\(root)'",
                remedy: "set an absolute path of a folder for the cache")
        }
        let socket = socketFlag ?? nonEmpty(environment["MODELCACHE_SOCKET"]) ?? root + "/agent.sock"
        return (root, try checkedSocket(socket, "MODELCACHE_SOCKET (--socket)"))
    }

    /// The socket that an agent and its mounter agree on; nil: there is no mounter.
    public static func mounter(_ flag: String?, environment: [String: String]) throws -> String? {
        guard let socket = flag ?? nonEmpty(environment["MODELCACHE_MOUNTER"]) else { return nil }
        return try checkedSocket(socket, "MODELCACHE_MOUNTER (--mounter)")
    }

    private static func checkedSocket(_ socket: String, _ field: String) throws -> String {
        guard socket.hasPrefix("/"), socket.utf8.count < 108 else {
            throw SettingError(
                field: field, value: nil, problem: "is '\(socket)'",
                remedy: "set an absolute path of at most 107 bytes, the limit of unix(7)")
        }
        return socket
    }

    static func nonEmpty(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
}
