internal import Dispatch
internal import ObjectStore
internal import RangeTransfer
internal import StoreHost
internal import TextCoding

/// The settings that tell one engine from another.
struct EngineKey: Hashable, Sendable {
    /// Sorted, each once: the order in `HTTP_SOURCE_IP` means nothing.
    let sourceAddresses: [String]
    let authorityFile: String?
    let authorityFolder: String?
    /// Whether the addresses that a name leads to are looked at: a ModelCache's endpoint is not the node's owner's.
    let isGuarded: Bool

    init(_ settings: SourceSettings, isGuarded: Bool) {
        sourceAddresses = Set(settings.sourceAddresses).sorted()
        authorityFile = settings.authorityFile
        authorityFolder = settings.authorityFolder
        self.isGuarded = isGuarded
    }
}

/// The transfer engines of all sources. Each has threads and connections of its own, so callers with equal settings
/// share one.
final class EnginePool: Sendable {
    typealias Lease = LeasePool<EngineKey, TransferEngine>.Lease

    /// Different `HTTP_SOURCE_IP`, `SSL_CERT_FILE` and `SSL_CERT_DIR` in use at a time. A node has a few network cards.
    static let limit = 16
    /// Unused engines keep their connections for the next opening.
    private static let unusedLimit = 2
    private static let linger = Duration.seconds(10)

    private let pool: LeasePool<EngineKey, TransferEngine>
    private let threads: Int
    private let wakeInterval: Duration
    private let allowsLoopback: Bool
    private let proxies: ProxySettings

    init(options: RegistryOptions) {
        threads = options.receiveThreads
        wakeInterval = .milliseconds(options.hasPeers ? 100 : 10)
        allowsLoopback = options.allowsLoopbackEndpoints
        proxies = options.proxies
        // It joins its threads, and the last user may be one of them.
        let closing = DispatchQueue(label: "modelcache.engines")
        pool = LeasePool(limit: Self.limit, unusedLimit: Self.unusedLimit, linger: Self.linger) { engine in
            closing.async { engine.shutDown() }
        }
    }

    /// - Throws: ``AgentFailure``: `settings` when an address is not this machine's or the authority file cannot be
    ///   read, `capacity` when too many others are in use.
    func lease(_ key: EngineKey) throws(AgentFailure) -> Lease {
        let lease: Lease?
        do throws(SettingError) {
            lease = try pool.lease(key) { () throws(SettingError) in
                try TransferEngine(
                    TransferEngineConfiguration(
                        threads: threads, sourceAddresses: key.sourceAddresses, authorityFile: key.authorityFile,
                        authorityFolder: key.authorityFolder, proxies: proxies, wakeInterval: wakeInterval,
                        addressGuard: key.isGuarded
                            ? AddressGuard { [allowsLoopback] in
                                StoreHost.problem(withAddress: $0, allowsLoopback: allowsLoopback)
                            } : nil))
            }
        } catch {
            throw AgentFailure(.settings, "\(error)")
        }
        guard let lease else {
            throw AgentFailure(
                .capacity,
                "HTTP_SOURCE_IP, SSL_CERT_FILE, SSL_CERT_DIR: \(Self.limit) different choices are in use at this agent, which is the most; use one of them, or end programs that load with another"
            )
        }
        return lease
    }

    func sweep() { pool.sweep() }

    /// Blocks until the engines' threads are gone.
    func shutDown() { for engine in pool.takeAll() { engine.shutDown() } }

    var count: Int { pool.count }
}
