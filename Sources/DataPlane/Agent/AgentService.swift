// Agent: one agent, put together.
//
// `AgentOptions` and `ConnectorConfig` are its configuration, `AgentService` makes the parts and runs them until the
// end. Everything else lies in the modules below: Models, Sessions, NodeAPI, Transfer, Swarm, ChunkStore.

internal import AgentAPI
internal import ChunkStore
internal import Foundation
internal import Glibc
internal import LinuxShim
internal import LogOutput
public import Logging
internal import Models
internal import NodeAPI
internal import ServiceLifecycle
internal import Sessions
internal import Swarm

/// One agent: holds the root, serves the socket and HTTP, until told to stop.
///
/// Promise at the end, however it comes: no half-written chunk is marked present. After SIGTERM the cached bytes stay
/// for the next agent; an agent that ends because nobody needs it leaves nothing behind.
public struct AgentService: Sendable {
    private let options: AgentOptions
    private let logger: Logger
    /// A pod's containers start together, and its images may come one after the other.
    private static let mounterPatience = Duration.seconds(60)
    /// Of an agent with caches: readers and other nodes wait for these, and they need no mounter.
    private static let mounterPatienceWithCaches = Duration.seconds(2)

    public init(options: AgentOptions, logger: Logger) {
        self.options = options
        self.logger = logger
    }

    /// Runs until SIGTERM or SIGINT, or until idle where the options say so.
    ///
    /// - Parameter ready: called once the socket accepts.
    /// - Throws: a typed error whose description is one line with the remedy: the root is locked, not writable, the
    ///   socket or the HTTP address cannot be bound, the mounter does not respond and there is no cache to serve.
    public func run(ready: @escaping @Sendable () -> Void = {}) async throws {
        // A connection, a socket and two files for each chunk in flight: the soft limit of 1024 is soon reached.
        _ = mc_raise_open_file_limit()
        let audit = AuditLog(try options.auditPath.map { LineSink(try LogFile.open($0, setting: "auditPath")) })
        let lock = try RootLock(root: options.root)
        let mounter = options.mounter.map { MounterClient(socket: $0) }
        let (registry, server) = try open(lock, mounter, audit)
        do {
            await registry.recoverCaches()
            let faultDevice = try await faultDevice(of: mounter, registry)
            if let peers = options.peers {
                try await Self.join(peers, options: options, registry: registry, logger: logger)
            }
            let group = try group(registry, server, mounter, faultDevice)
            if let proxies = options.proxies.summary {
                logger.notice("stores are reached through a proxy", metadata: ["proxies": "\(proxies)"])
            }
            logger.notice(
                "agent ready",
                metadata: ["socket": "\(options.socket)", "root": "\(options.root)", "pid": "\(getpid())"])
            ready()
            try await group.run()
        } catch {
            await registry.close()
            throw error
        }
        await registry.close()
        logger.notice("agent ended")
    }

    /// The caches that are there, and the socket, at which nobody is served yet.
    private func open(
        _ lock: RootLock, _ mounter: MounterClient?, _ audit: AuditLog
    ) throws -> (ModelRegistry, SessionServer) {
        var medium = MediumOptions(preference: options.mediumPreference)
        if let mounter { medium.mounts = mounter }
        // Models and caches in memory share a root, and its lock.
        let root = try CacheDirectory(
            root: options.root, .models, medium: medium, visibility: options.visibility, lock: lock)
        do {
            let volumes = try Self.volumes(options, medium, lock)
            let server = try SessionServer(path: options.socket, logger: logger)
            let registry = ModelRegistry(
                options: options.registry, root: root, volumes: volumes, sockets: server, logger: logger, audit: audit)
            return (registry, server)
        } catch {
            root.close()
            throw error
        }
    }

    /// An agent that has no cache can do nothing without its mounter, and waits for it; one that has serves them.
    private func faultDevice(of mounter: MounterClient?, _ registry: ModelRegistry) async throws -> FaultDevice {
        guard let mounter else { return FaultDevice(Glibc.open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)) }
        let caches = await registry.cacheReports.count
        let models = await registry.modelStatuses.count
        let hasCaches = caches + models > 0
        do {
            try await mounter.answers(within: hasCaches ? Self.mounterPatienceWithCaches : Self.mounterPatience)
            return FaultDevice(try mounter.faultDevice())
        } catch let error as ChunkStoreError where hasCaches {
            logger.error(
                "the caches that are there are served, and none is made or removed before the mounter is back",
                metadata: ["reason": "\(error)"])
            return FaultDevice(nil)
        }
    }

    /// All that runs until the end: the socket, the upkeep and the HTTP servers.
    private func group(
        _ registry: ModelRegistry, _ server: SessionServer, _ mounter: MounterClient?, _ faultDevice: FaultDevice
    ) throws -> ServiceGroup {
        let started = ContinuousClock.now
        let refusals = CallerRefusals()
        let status: @Sendable () async -> AgentStatus = { [options] in
            var status = await Self.status(options: options, registry: registry, server: server, since: started)
            status.refusedCallers = refusals.byProblem
            status.reportCredentials()
            return status
        }
        let sessions = ModelSessions(
            registry: registry, callers: CallerIdentity(refusals: refusals, patience: options.keyPatience),
            faultDevice: faultDevice, logger: logger, status: status)
        var services: [any Service] = [
            SocketThread(server: server, handler: sessions),
            Upkeep(registry: registry, sessions: sessions, server: server, options: options, logger: logger),
        ]
        if let mounter, faultDevice.isAwaited {
            services.append(MounterLink(mounter: mounter, faultDevice: faultDevice, logger: logger))
        }
        if let address = options.http {
            let orders = CacheOrders(registry: registry, node: options.nodeName)
            services.append(
                try StatusServer(
                    address: address, status: status, orders: orders,
                    guarding: RequestGuard(secretFile: options.authSecretFile, node: options.nodeName, logger: logger),
                    logger: logger
                ).service)
        }
        if let address = options.metricsAddress {
            services.append(try StatusServer(metricsAt: address, status: status, logger: logger).service)
        }
        return ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map {
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup)
                },
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    }

    /// Takes part in the swarms of the other nodes that `peers` names.
    private static func join(_ peers: PeerSource, options: AgentOptions, registry: ModelRegistry, logger: Logger)
        async throws
    {
        let secret = options.authSecretFile.map { AuthSecretFile(path: $0, logger: logger) }
        if secret == nil {
            logger.warning(
                "no model is shared with peers: set MODELCACHE_AUTH_SECRET_FILE to the secret that all nodes hold")
        }
        let swarm = try Swarm(
            SwarmConfiguration(
                peers: peers, listen: options.peerAddress, advertised: options.advertisedPeerAddress,
                zone: options.zone, tls: options.peerTLS),
            secrets: { secret?.secret?.keys ?? [] }, logger: logger)
        try await swarm.start()
        try await registry.join(swarm)
    }

    /// Caches in memory lie in the root, those on the disk in one of their own.
    private static func volumes(
        _ options: AgentOptions, _ memory: MediumOptions, _ lock: RootLock
    ) throws(ChunkStoreError) -> [CacheDefinition.Medium: CacheDirectory] {
        var volumes: [CacheDefinition.Medium: CacheDirectory] = [
            .memory: try CacheDirectory(
                root: options.root, .caches, medium: memory, visibility: options.visibility, lock: lock)
        ]
        if let root = options.diskRoot {
            volumes[.disk] = try CacheDirectory(
                root: root, .caches, medium: MediumOptions(preference: .disk), visibility: options.visibility)
        }
        return volumes
    }

    private static func status(
        options: AgentOptions, registry: ModelRegistry, server: SessionServer, since started: ContinuousClock.Instant
    ) async -> AgentStatus {
        let models = await registry.modelStatuses
        let capacity = await registry.capacity()
        return AgentStatus(
            version: Release.version, node: options.nodeName, processID: getpid(), root: options.root,
            medium: options.medium.rawValue,
            uptimeSeconds: started.duration(to: .now) / .seconds(1), budgetBytes: capacity.budgetBytes,
            cachedBytes: models.reduce(0) { $0 + $1.presentBytes }, heldBytes: capacity.heldBytes,
            inFlightLimitBytes: options.inFlightBytes, inFlightBytes: capacity.inFlightBytes,
            sessions: server.sessionCount, models: models)
    }
}

extension AgentOptions {
    var registry: RegistryOptions {
        var registry = RegistryOptions(root: root, inFlightBytes: inFlightBytes, receiveThreads: receiveThreads)
        registry.diskRoot = diskRoot
        registry.budgetBytes = budgetBytes
        registry.diskBudgetBytes = diskBudgetBytes
        registry.connections = connections
        registry.expireTime = expireTime
        registry.allowsLoopbackEndpoints = allowsLoopbackEndpoints
        registry.credentialHosts = credentialHosts
        registry.allowsNodeRole = allowsNodeRole
        registry.stsEndpoint = stsEndpoint
        registry.proxies = proxies
        registry.sourceDefaults = sourceDefaults
        registry.hasPeers = peers != nil
        registry.peerAuthority = peerTLS?.authority
        return registry
    }

    var visibility: VisibilityMode { verification == .strict ? .strict : .streaming }

    var mediumPreference: MediumOptions.Preference {
        switch medium {
        case .memory: .automatic
        case .directory: .directory
        case .disk: .disk
        }
    }
}

/// The socket's thread as a service of the group.
private struct SocketThread: Service {
    let server: SessionServer
    let handler: any SessionHandler

    func run() async throws {
        await withGracefulShutdownHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                // A thread of its own: it blocks in epoll_wait, which a task must not.
                Thread.detachNewThread {
                    server.run(handler: handler)
                    continuation.resume()
                }
            }
        } onGracefulShutdown: {
            server.stop()
        }
    }
}

/// Once a second: expiry, the sign of life in presence files, and the end of an agent that nobody needs.
private struct Upkeep: Service {
    let registry: ModelRegistry
    let sessions: ModelSessions
    let server: SessionServer
    let options: AgentOptions
    let logger: Logger

    /// An idle agent waits this long for a first or next client: a library that just started it needs a moment to
    /// connect.
    static let idleGrace = 10

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            var idleSeconds = 0
            while true {
                try await Task.sleep(for: .seconds(1))
                await registry.tick()
                guard options.endsWhenIdle else { continue }
                let isIdle = await registry.isEmpty && server.sessionCount == 0
                idleSeconds = isIdle ? idleSeconds + 1 : 0
                if idleSeconds >= Self.idleGrace {
                    logger.notice("nobody needs this agent, ending")
                    return
                }
            }
        }
    }

    private func cancelWhenGracefulShutdown(_ body: @escaping @Sendable () async throws -> Void) async throws {
        do {
            try await ServiceLifecycle.cancelWhenGracefulShutdown(body)
        } catch is CancellationError {
            // The ordinary end.
        }
    }
}
