internal import AgentAPI
internal import Foundation
public import LogOutput
internal import ObjectStore
internal import RangeTransfer
internal import StoreHost
internal import Swarm
internal import TextCoding

extension AgentOptions {
    /// - Throws: ``SettingError`` for the first value at fault.
    public static func resolve(
        flags: Flags, environment: [String: String], config: ConnectorConfig, userID: UInt32, processors: Int
    ) throws -> AgentOptions {
        let place = try location(root: flags.root, socket: flags.socket, environment: environment, userID: userID)
        let settings = AgentSettings(environment: environment)
        // Mounting needs CAP_SYS_ADMIN; anybody but root gets a plain directory unless told otherwise.
        let medium: Medium = try settings.choice(flags.medium, "MODELCACHE_MEDIUM", userID == 0 ? .memory : .directory)
        var options = AgentOptions(
            root: place.root, socket: place.socket, http: nil, medium: medium,
            receiveThreads: try settings.number(flags.threads, "MODELCACHE_THREADS", config.prefetchVCPUs, in: 1...256)
                ?? min(8, max(1, processors)))
        options.verification = try settings.choice(flags.verify, "MODELCACHE_VERIFY", .streaming)
        options.budgetBytes = try settings.bytes(flags.budget, "MODELCACHE_BUDGET", atLeast: 2 << 20)
        options.inFlightBytes =
            try settings.bytes(flags.inFlight, "MODELCACHE_IN_FLIGHT", atLeast: 8 << 20) ?? options.inFlightBytes
        options.connections = try settings.number(
            flags.connections, "MODELCACHE_CONNECTIONS", config.prefetchWorkers, in: 1...4096)
        let expire = try settings.number(
            flags.expireSeconds, "MODELCACHE_EXPIRE_SECONDS", config.expireTimeSeconds, in: 0...31_536_000)
        options.endsWhenIdle = flags.idleExit
        // 120 s is the connector's documented default; an agent that somebody runs as a daemon keeps what it has.
        options.expireTime = expire.map { .seconds($0) } ?? (flags.idleExit ? .seconds(120) : nil)
        try options.readAddresses(flags, settings)
        try options.readSwarm(flags, settings)
        try options.readDisk(flags, settings)
        try options.readSources(settings)
        options.mounter = try mounter(flags.mounter, environment: environment)
        options.nodeName = nonEmpty(environment["MODELCACHE_NODE_NAME"]) ?? ProcessInfo.processInfo.hostName
        options.authSecretFile = nonEmpty(environment["MODELCACHE_AUTH_SECRET_FILE"])
        options.logLevel =
            try settings.number(flags.logLevel, "MODELCACHE_LOG_LEVEL", config.logLevel, in: 0...4) ?? options.logLevel
        options.logFormat = try chosenLogFormat(flags.logFormat, environment: environment)
        options.logPath = nonEmpty(environment["MODELCACHE_LOG_PATH"]) ?? config.logPath
        options.auditPath = nonEmpty(environment["MODELCACHE_AUDIT_PATH"]) ?? config.auditPath
        return options
    }

    /// How agent and mounter write their log lines.
    ///
    /// - Throws: ``SettingError``.
    public static func chosenLogFormat(_ flag: String?, environment: [String: String]) throws -> LogFormat {
        try AgentSettings(environment: environment).choice(flag, "MODELCACHE_LOG_FORMAT", .text)
    }

    private mutating func readAddresses(_ flags: Flags, _ settings: AgentSettings) throws {
        http = try settings.address(flags.http, "MODELCACHE_HTTP", such: "127.0.0.1:9417")
        metricsAddress = try settings.address(
            flags.metricsBindAddress, "MODELCACHE_METRICS_BIND_ADDRESS", such: ":9419")
    }

    /// Peers, this agent's own address and place, and the certificates between them.
    private mutating func readSwarm(_ flags: Flags, _ settings: AgentSettings) throws {
        if let (raw, name) = settings.text(flags.peers, "MODELCACHE_PEERS"), raw != "off" {
            guard let source = PeerSource(raw) else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'",
                    remedy: "set dns:<name>[:port], static:<address>,<address>, file:<path>, or off")
            }
            peers = source
        }
        if let (raw, name) = settings.text(flags.peerAddress, "MODELCACHE_PEER_ADDRESS") {
            guard let address = Self.listenAddress(raw) else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'", remedy: "set address:port, such as :9418")
            }
            peerAddress = address
        } else if let http, let address = Self.listenAddress(http), address.port < 65535 {
            peerAddress = PeerAddress(host: address.host, port: address.port + 1)
        }
        if let (raw, name) = settings.text(nil, "MODELCACHE_PEER_ADVERTISE") {
            guard let address = PeerAddress(raw, defaultPort: peerAddress.port) else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'",
                    remedy: "set an address, with a port where it is not the peer server's, such as 10.0.0.7:9418")
            }
            advertisedPeerAddress = address
        }
        if let (raw, name) = settings.text(nil, "MODELCACHE_ZONE") {
            guard SwarmConfiguration.isZone(raw) else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'",
                    remedy:
                        "name the zone as a label's value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
                )
            }
            zone = raw
        }
        let files = ["CERTIFICATE", "KEY", "AUTHORITY"].map {
            Self.nonEmpty(settings.environment["MODELCACHE_PEER_\($0)"])
        }
        if let certificate = files[0], let key = files[1], let authority = files[2] {
            peerTLS = SwarmConfiguration.TLSFiles(certificate: certificate, key: key, authority: authority)
        } else if files.contains(where: { $0 != nil }) {
            throw SettingError(
                field: "MODELCACHE_PEER_CERTIFICATE", value: nil, problem: "or its companions are missing",
                remedy:
                    "set MODELCACHE_PEER_CERTIFICATE, MODELCACHE_PEER_KEY and MODELCACHE_PEER_AUTHORITY together, or none"
            )
        }
    }

    private mutating func readDisk(_ flags: Flags, _ settings: AgentSettings) throws {
        if let (raw, name) = settings.text(flags.diskRoot, "MODELCACHE_DISK_ROOT") {
            guard raw.hasPrefix("/"), raw != "/", raw != root else {
                throw SettingError(
                    field: name, value: nil, problem: "is '\(raw)'",
                    remedy: "set an absolute path of a folder on a disk, other than the root")
            }
            diskRoot = raw
        }
        diskBudgetBytes = try settings.bytes(flags.diskBudget, "MODELCACHE_DISK_BUDGET", atLeast: 2 << 20)
    }

    /// How stores are reached, and whose credentials go where.
    private mutating func readSources(_ settings: AgentSettings) throws {
        allowsLoopbackEndpoints = try settings.isOn("MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS")
        if let list = Self.nonEmpty(settings.environment["MODELCACHE_CREDENTIAL_HOSTS"]) {
            credentialHosts = try Self.credentialHosts(list)
        }
        allowsNodeRole = try settings.isOn("MODELCACHE_ALLOW_NODE_ROLE")
        stsEndpoint = Self.nonEmpty(settings.environment["MODELCACHE_STS_ENDPOINT"])
        if let text = stsEndpoint { _ = try ServiceEndpoint(parsing: text, field: "MODELCACHE_STS_ENDPOINT") }
        keyPatience =
            try settings.number(nil, "MODELCACHE_KEY_WAIT_SECONDS", nil, in: 0...240).map { .seconds($0) }
            ?? keyPatience
        for name in ["HTTP_SOURCE_IP", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let value = Self.nonEmpty(settings.environment[name]) { sourceDefaults[name] = value }
        }
        proxies = try ProxySettings(environment: settings.environment)
    }

    /// Where a server listens. Unlike a peer's address it may name no host, which means all, and port 0, which the
    /// kernel chooses.
    private static func listenAddress(_ text: String) -> PeerAddress? {
        let whole = text.hasPrefix(":") ? (EveryAddress.host.contains(":") ? "[::]" : EveryAddress.host) + text : text
        if whole.hasSuffix(":0"), let known = PeerAddress(whole.dropLast() + "1") {
            return PeerAddress(host: known.host, port: 0)
        }
        return PeerAddress(whole)
    }

    private static func credentialHosts(_ list: String) throws(SettingError) -> CredentialHosts {
        guard let hosts = CredentialHosts(adding: list) else {
            throw SettingError(
                field: "MODELCACHE_CREDENTIAL_HOSTS", value: list, problem: "has an entry that is no host",
                remedy: CredentialHosts.form)
        }
        return hosts
    }
}
