internal import Foundation
internal import ObjectStore
public import Swarm

/// How one agent runs. Made by ``resolve(flags:environment:config:)`` from four sources, the first that
/// names a value wins: command-line flag, environment variable, configuration file, default.
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
    /// `address:port` that serves `/metrics` alone, open to whoever reaches it and without the names of models; nil: none.
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
    /// How long a model that nobody uses is kept; nil: until room is needed.
    public var expireTime: Duration?
    /// Whether the agent ends when no model is left and nobody is connected.
    public var endsWhenIdle = false
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
    /// How long a caller whose token names a key that is not known yet waits for the operator to bring it: longer than the operator's
    /// pause between two looks and an order to all agents, shorter than the 300 s for which a reader waits for an answer.
    public var keyPatience: Duration = .seconds(150)
    /// For clients of a ModelCache's socket that do not say: the agent's own `HTTP_SOURCE_IP` and `SSL_CERT_FILE`.
    public var sourceDefaults: [String: String] = [:]
    /// Where the other nodes are found; nil: models come from the store alone.
    public var peers: PeerSource?
    /// Where this node serves the others.
    public var peerAddress = PeerAddress(host: "0.0.0.0", port: 9418)
    /// By which the others know this node; nil: the one among `peers` that is this machine's.
    public var advertisedPeerAddress: PeerAddress?
    /// The name of this node's zone; empty: none.
    public var zone = ""
    /// Nil: peers speak plain HTTP.
    public var peerTLS: SwarmConfiguration.TLSFiles?
    public var logLevel = 1
    public var logPath: String?
    public var auditPath: String?

    /// What the command line said; nil where it said nothing.
    public struct Flags: Equatable, Sendable {
        public var root: String?
        public var socket: String?
        public var http: String?
        public var metricsBindAddress: String?
        public var medium: String?
        public var verify: String?
        public var budget: String?
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
        let root = flag ?? nonEmpty(environment["MODELCACHE_ROOT"]) ?? defaultRoot(environment: environment, userID: userID)
        guard root.hasPrefix("/"), root != "/" else {
            throw SettingError(field: "MODELCACHE_ROOT (--root)", value: nil, problem: "is '\(root)'", remedy: "set an absolute path of a folder for the cache")
        }
        let socket = socketFlag ?? nonEmpty(environment["MODELCACHE_SOCKET"]) ?? root + "/agent.sock"
        guard socket.hasPrefix("/"), socket.utf8.count < 108 else {
            throw SettingError(
                field: "MODELCACHE_SOCKET (--socket)", value: nil, problem: "is '\(socket)'",
                remedy: "set an absolute path of at most 107 bytes, the limit of unix(7)")
        }
        return (root, socket)
    }

    /// - Throws: ``SettingError`` for the first value at fault.
    public static func resolve(
        flags: Flags, environment: [String: String], config: ConnectorConfig, userID: UInt32, processors: Int
    ) throws -> AgentOptions {
        let place = try location(root: flags.root, socket: flags.socket, environment: environment, userID: userID)
        func text(_ flag: String?, _ variable: String) -> (value: String, name: String)? {
            if let flag { return (flag, "--" + variable.lowercased().replacing("modelcache_", with: "").replacing("_", with: "-")) }
            return nonEmpty(environment[variable]).map { ($0, variable) }
        }
        func number(_ flag: Int?, _ variable: String, _ file: Int?, in range: ClosedRange<Int>) throws -> Int? {
            if let flag {
                return try checked(flag, "--" + variable.lowercased().replacing("modelcache_", with: "").replacing("_", with: "-"), range)
            }
            if let raw = nonEmpty(environment[variable]) {
                guard let value = Int(raw) else {
                    throw SettingError(field: variable, value: nil, problem: "is '\(raw)'", remedy: "set a whole number")
                }
                return try checked(value, variable, range)
            }
            return file
        }
        func bytes(_ flag: String?, _ variable: String, atLeast minimum: Int64) throws -> Int64? {
            guard let (raw, name) = text(flag, variable) else { return nil }
            guard let value = ByteCount.parse(raw), value >= minimum else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'", remedy: "set a size of at least \(ByteCount.format(minimum)), such as 64GiB")
            }
            return value
        }
        func choice<T: RawRepresentable & CaseIterable>(_ flag: String?, _ variable: String, _ fallback: T) throws -> T
        where T.RawValue == String {
            guard let (raw, name) = text(flag, variable) else { return fallback }
            guard let value = T(rawValue: raw.lowercased()) else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'", remedy: "set one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            return value
        }

        // Mounting needs CAP_SYS_ADMIN; anybody but root gets a plain directory unless told otherwise.
        let medium: Medium = try choice(flags.medium, "MODELCACHE_MEDIUM", userID == 0 ? .memory : .directory)
        var options = AgentOptions(
            root: place.root, socket: place.socket, http: nil, medium: medium,
            receiveThreads: try number(flags.threads, "MODELCACHE_THREADS", config.prefetchVCPUs, in: 1...256) ?? min(8, max(1, processors)))
        options.verification = try choice(flags.verify, "MODELCACHE_VERIFY", .streaming)
        options.budgetBytes = try bytes(flags.budget, "MODELCACHE_BUDGET", atLeast: 2 << 20)
        options.inFlightBytes = try bytes(flags.inFlight, "MODELCACHE_IN_FLIGHT", atLeast: 8 << 20) ?? options.inFlightBytes
        options.connections = try number(flags.connections, "MODELCACHE_CONNECTIONS", config.prefetchWorkers, in: 1...4096)
        let expire = try number(flags.expireSeconds, "MODELCACHE_EXPIRE_SECONDS", config.expireTimeSeconds, in: 0...31_536_000)
        options.endsWhenIdle = flags.idleExit
        // 120 s is the connector's documented default; an agent that somebody runs as a daemon keeps what it has.
        options.expireTime = expire.map { .seconds($0) } ?? (flags.idleExit ? .seconds(120) : nil)
        func address(_ flag: String?, _ variable: String, such example: String) throws -> String? {
            guard let (raw, name) = text(flag, variable), raw != "off" else { return nil }
            guard let colon = raw.lastIndex(of: ":"), let port = Int(raw[raw.index(after: colon)...]), (0...65535).contains(port) else {
                throw SettingError(field: name, value: nil, problem: "is '\(raw)'", remedy: "set address:port, such as \(example), or off")
            }
            return raw
        }
        options.http = try address(flags.http, "MODELCACHE_HTTP", such: "127.0.0.1:9417")
        options.metricsAddress = try address(flags.metricsBindAddress, "MODELCACHE_METRICS_BIND_ADDRESS", such: "0.0.0.0:9419")
        if let (raw, name) = text(flags.peers, "MODELCACHE_PEERS"), raw != "off" {
            guard let peers = PeerSource(raw) else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'",
                    remedy: "set dns:<name>[:port], static:<address>,<address>, file:<path>, or off")
            }
            options.peers = peers
        }
        if let (raw, name) = text(flags.peerAddress, "MODELCACHE_PEER_ADDRESS") {
            guard let address = PeerAddress(raw) ?? (raw.hasSuffix(":0") ? PeerAddress(host: String(raw.dropLast(2)), port: 0) : nil) else {
                throw SettingError(field: name, value: nil, problem: "is '\(raw)'", remedy: "set address:port, such as 0.0.0.0:9418")
            }
            options.peerAddress = address
        } else if let http = options.http, let address = PeerAddress(http), address.port < 65535 {
            options.peerAddress = PeerAddress(host: address.host, port: address.port + 1)
        }
        if let (raw, name) = text(nil, "MODELCACHE_PEER_ADVERTISE") {
            guard let address = PeerAddress(raw, defaultPort: options.peerAddress.port) else {
                throw SettingError(field: name, value: nil, problem: "is '\(raw)'", remedy: "set an address, with a port where it is not the peer server's, such as 10.0.0.7:9418")
            }
            options.advertisedPeerAddress = address
        }
        if let (raw, name) = text(nil, "MODELCACHE_ZONE") {
            guard SwarmConfiguration.isZone(raw) else {
                throw SettingError(field: name, value: nil, problem: "is '\(raw)'", remedy: "name the zone as a label's value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends")
            }
            options.zone = raw
        }
        let files = ["CERTIFICATE", "KEY", "AUTHORITY"].map { nonEmpty(environment["MODELCACHE_PEER_\($0)"]) }
        if let certificate = files[0], let key = files[1], let authority = files[2] {
            options.peerTLS = SwarmConfiguration.TLSFiles(certificate: certificate, key: key, authority: authority)
        } else if files.contains(where: { $0 != nil }) {
            throw SettingError(
                field: "MODELCACHE_PEER_CERTIFICATE", value: nil, problem: "or its companions are missing",
                remedy: "set MODELCACHE_PEER_CERTIFICATE, MODELCACHE_PEER_KEY and MODELCACHE_PEER_AUTHORITY together, or none")
        }
        if let (raw, name) = text(flags.diskRoot, "MODELCACHE_DISK_ROOT") {
            guard raw.hasPrefix("/"), raw != "/", raw != options.root else {
                throw SettingError(field: name, value: nil, problem: "is '\(raw)'", remedy: "set an absolute path of a folder on a disk, other than the root")
            }
            options.diskRoot = raw
        }
        options.diskBudgetBytes = try bytes(flags.diskBudget, "MODELCACHE_DISK_BUDGET", atLeast: 2 << 20)
        options.nodeName = nonEmpty(environment["MODELCACHE_NODE_NAME"]) ?? ProcessInfo.processInfo.hostName
        options.authSecretFile = nonEmpty(environment["MODELCACHE_AUTH_SECRET_FILE"])
        options.allowsLoopbackEndpoints = environment["MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS"] == "1"
        options.keyPatience = try number(nil, "MODELCACHE_KEY_WAIT_SECONDS", nil, in: 0...240).map { .seconds($0) } ?? options.keyPatience
        for name in ["HTTP_SOURCE_IP", "SSL_CERT_FILE"] {
            if let value = nonEmpty(environment[name]) { options.sourceDefaults[name] = value }
        }
        options.logLevel = try number(flags.logLevel, "MODELCACHE_LOG_LEVEL", config.logLevel, in: 0...4) ?? options.logLevel
        options.logPath = nonEmpty(environment["MODELCACHE_LOG_PATH"]) ?? config.logPath
        options.auditPath = nonEmpty(environment["MODELCACHE_AUDIT_PATH"]) ?? config.auditPath
        return options
    }

    private static func checked(_ value: Int, _ name: String, _ range: ClosedRange<Int>) throws -> Int {
        guard range.contains(value) else {
            throw SettingError(
                field: name, value: nil, problem: "is \(value)", remedy: "set a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private static func nonEmpty(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
}
