import Agent
import ArgumentParser
import Foundation
import Glibc
import Logging

struct AgentVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Run the daemon that fills the cache and serves readers.",
        discussion: """
            Serves a unix socket for the preload library and, unless off, HTTP: /healthz /readyz /metrics /v1/status and, \
            where MODELCACHE_AUTH_SECRET_FILE names a secret, the operator's signed orders under /v1/caches. \
            SIGTERM ends it; cached bytes stay for the next agent.

            EXAMPLES
              modelcache agent
              modelcache agent --root /mnt/cache --medium disk --budget 400GiB --http :9417
              modelcache agent --disk-root /var/lib/modelcache --http :9417
            """)

    @OptionGroup var place: AgentLocationOptions

    @Option(help: ArgumentHelp("address:port of the HTTP server, or off (MODELCACHE_HTTP).", valueName: "address"))
    var http: String?

    @Option(
        help: ArgumentHelp(
            "address:port that serves only /metrics to any client, without models' names "
                + "(MODELCACHE_METRICS_BIND_ADDRESS).",
            valueName: "address"))
    var metricsBindAddress: String?

    @Option(help: "memory: own tmpfs mounts with huge pages; directory: the root as it is; disk (MODELCACHE_MEDIUM).")
    var medium: String?

    @Option(
        help: ArgumentHelp(
            "streaming: chunks are readable as they arrive; strict: nothing before the complete file is verified "
                + "(MODELCACHE_VERIFY)."))
    var verify: String?

    @Option(help: ArgumentHelp("Most bytes to cache, such as 400GiB (MODELCACHE_BUDGET).", valueName: "size"))
    var budget: String?

    @Option(
        help: ArgumentHelp(
            "Socket of the mounter, which mounts for an agent without that right (MODELCACHE_MOUNTER).",
            valueName: "path"))
    var mounter: String?

    @Option(help: ArgumentHelp("Folder for ModelCaches of medium Disk (MODELCACHE_DISK_ROOT).", valueName: "dir"))
    var diskRoot: String?

    @Option(help: ArgumentHelp("Most bytes of ModelCaches on the disk (MODELCACHE_DISK_BUDGET).", valueName: "size"))
    var diskBudget: String?

    @Option(
        help: ArgumentHelp(
            "Most bytes staged between network and cache (MODELCACHE_IN_FLIGHT; default 256MiB).", valueName: "size"))
    var inFlight: String?

    @Option(help: "Most ranged GETs in flight (MODELCACHE_CONNECTIONS; prefetch.workers). Default: as many as pay.")
    var connections: Int?

    @Option(help: "Threads that receive (MODELCACHE_THREADS; prefetch.vcpus).")
    var threads: Int?

    @Option(
        help: ArgumentHelp(
            "Evict models unused for this time (MODELCACHE_EXPIRE_SECONDS; expireTimeSec).", valueName: "seconds"))
    var expire: Int?

    @Option(
        help: ArgumentHelp(
            "Other nodes to share models with: dns:<name>[:port], static:<a>,<b> or file:<path> (MODELCACHE_PEERS).",
            valueName: "where"))
    var peers: String?

    @Option(
        help: ArgumentHelp(
            "address:port where peers are served (MODELCACHE_PEER_ADDRESS; default: the HTTP server's port + 1).",
            valueName: "address"))
    var peerAddress: String?

    @Flag(help: "End when no model is cached and nobody is connected.")
    var idleExit = false

    @Option(help: "0 debug, 1 info, 2 warning, 3 error, 4 critical (MODELCACHE_LOG_LEVEL; logLevel).")
    var logLevel: Int?

    @Option(help: "text or json, one line an event (MODELCACHE_LOG_FORMAT).")
    var logFormat: String?

    func run() async throws {
        do {
            var flags = AgentOptions.Flags()
            flags.root = place.root
            flags.socket = place.socket
            flags.http = http ?? (idleExit ? "off" : nil)
            flags.metricsBindAddress = metricsBindAddress
            flags.medium = medium
            flags.verify = verify
            flags.budget = budget
            flags.mounter = mounter
            flags.diskRoot = diskRoot
            flags.diskBudget = diskBudget
            flags.inFlight = inFlight
            flags.connections = connections
            flags.threads = threads
            flags.expireSeconds = expire
            flags.peers = peers
            flags.peerAddress = peerAddress
            flags.idleExit = idleExit
            flags.logLevel = logLevel
            flags.logFormat = logFormat
            let environment = ProcessInfo.processInfo.environment
            let options = try AgentOptions.resolve(
                flags: flags, environment: environment, config: try ConnectorConfig.load(environment: environment),
                userID: getuid(), processors: ProcessInfo.processInfo.activeProcessorCount)
            if options.mounter != nil { try ProcessRights.agent.restrict() }
            try LogFile.bootstrap(options)
            try await AgentService(options: options, logger: Logger(label: "agent")).run()
        } catch {
            fail(error)
        }
    }
}
