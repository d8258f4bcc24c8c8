// Swarm: nodes that serve each other the blocks of the models that they load.
//
// - `Swarm` has a node's peer server, its list of addresses and its secrets.
// - `ModelSwarm` is one model's part: the members that have it open, and the control connections to them.
// - Membership/: `PeerSource` says where addresses come from: DNS, a list or a file.
// - Control/: `ControlLink` is one control connection, and `ControlFrame` one message with the digests of its blocks.
// - Server/: `PeerServer` answers peers, and `BlockUpload` sends one range.
// - Model/: `SharedModel` says which blocks are held and which arrive. `Arrival` says how far one is.
// - Trust/: `SwarmKey` names a model and proves the right to it. `DigestBook` judges the bytes of peers.
// - Blocks/: `BlockLayout` numbers the blocks of a model.
// Invariants:
// - A client without a right token gets 404 for everything, whether or not the model is here.
// - A block of a peer is held only after its digest matched. One that still arrives is passed on unchecked, and each
//   receiver checks it.
// - The numbers of blocks follow from the manifest alone, so all nodes mean the same bytes.
// - The messages of peers are handed on in their order (`ModelSwarm` has one stream of inputs).
// Left to others: which block from whom (SwarmPlan), requests to peers and the bytes of a fill (Transfer), files
// (ChunkStore).

internal import Foundation
public import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// A node's part in the swarms of all its models: the peer server, the list of addresses, the secrets.
public final class Swarm: Sendable {
    public let configuration: SwarmConfiguration
    let introduction: PeerIntroduction

    private struct Names {
        var secrets: [[UInt8]] = []
        var keys: [SwarmKey] = []
        /// By the model's name under each secret.
        var models: [String: (model: ModelSwarm, key: SwarmKey)] = [:]
    }
    private struct State {
        var models: [SwarmIdentity: ModelSwarm] = [:]
        var tasks: [SwarmIdentity: Task<Void, Never>] = [:]
        var candidates: Set<PeerAddress> = []
        var own: PeerAddress?
        var port = 0
        var discovery: Task<Void, Never>?
        var names = Names()
        var lookups = 0
    }
    private let state = Mutex(State())
    private let secrets: @Sendable () -> [[UInt8]]
    private let logger: Logger
    private let group: MultiThreadedEventLoopGroup
    private let tls: (server: NIOSSLContext, client: NIOSSLContext)?
    private let server = Mutex<PeerServer?>(nil)

    /// How often addresses are looked up.
    private static let lookupInterval: Duration = .seconds(3)

    /// - Parameter secrets: the lines of the cluster's secret as they are now; empty: nobody gets anything. Called
    ///   often.
    public init(_ configuration: SwarmConfiguration, secrets: @escaping @Sendable () -> [[UInt8]], logger: Logger)
        throws(SwarmError)
    {
        self.configuration = configuration
        self.secrets = secrets
        self.logger = logger
        introduction = PeerIntroduction(
            node: String(UInt64.random(in: .min ... .max), radix: 16), zone: configuration.zone)
        state.withLock { $0.own = configuration.advertised }
        tls = try configuration.tls.map { (files) throws(SwarmError) in try Self.contexts(files) }
        group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, min(4, System.coreCount / 2)))
    }

    /// Listens and begins to look up addresses.
    public func start() async throws(SwarmError) {
        let server = PeerServer(group: group, tls: tls?.server, introduction: introduction, logger: logger) {
            [weak self] id, authorization in
            self?.admit(id, authorization)
        } loadChanged: { [weak self] load in
            guard let self else { return }
            for model in self.state.withLock({ Array($0.models.values) }) { model.loadChanged(load) }
        }
        let port: Int
        do {
            port = try await server.listen(host: configuration.listen.host, port: configuration.listen.port)
        } catch {
            throw .cannotListen(configuration.listen, "\(error)")
        }
        self.server.withLock { $0 = server }
        state.withLock { state in
            state.port = port
            state.discovery = Task { [weak self] in
                while !Task.isCancelled {
                    guard let self else { return }
                    await self.lookUp()
                    try? await Task.sleep(for: Self.lookupInterval)
                }
            }
        }
        logger.notice(
            "peer server ready",
            metadata: [
                "address": "\(configuration.listen.host):\(port)", "node": "\(introduction.node)",
                "zone": "\(configuration.zone)",
            ])
    }

    public func shutDown() async {
        let (models, discovery) = state.withLock { ($0.models, $0.discovery) }
        discovery?.cancel()
        for model in models.values { leave(model) }
        if let server = server.withLock({ $0 }) { await server.close() }
        try? await group.shutdownGracefully()
    }

    /// The port that the peer server listens on; 0 before ``start()``.
    public var port: Int { state.withLock { $0.port } }

    // MARK: Models

    /// From now on the model is served and its members are found. One at a time for each identity: the former one
    /// leaves.
    public func join(_ shared: SharedModel) -> ModelSwarm {
        let dialer = PeerDialer(group: group, tls: tls?.client)
        let (own, candidates, former, port) = state.withLock {
            ($0.own, $0.candidates, $0.models[shared.identity], $0.port)
        }
        if let former { leave(former) }
        let model = ModelSwarm(shared: shared, dialer: dialer, introduction: introduction, own: own, port: port) {
            [weak self] in self?.names().keys ?? []
        }
        model.update(candidates: candidates, own: own)
        let finding = Task { [weak self] in
            // An answer of the first lookup, or as good as none.
            for _ in 0..<50 where self?.state.withLock({ $0.lookups }) == 0 {
                try? await Task.sleep(for: .milliseconds(20))
            }
            await model.findMembers()
        }
        state.withLock { state in
            state.models[shared.identity] = model
            state.tasks[shared.identity] = finding
            state.names = Names()
        }
        return model
    }

    public func leave(_ model: ModelSwarm) {
        let task = state.withLock { state -> Task<Void, Never>? in
            guard state.models[model.shared.identity] === model else { return nil }
            state.models[model.shared.identity] = nil
            state.names = Names()
            return state.tasks.removeValue(forKey: model.shared.identity)
        }
        task?.cancel()
        model.leave()
    }

    // MARK: Secrets

    private func names() -> Names {
        let secrets = secrets()
        return state.withLock { state in
            if state.names.secrets != secrets || state.names.models.count != state.models.count * secrets.count {
                var names = Names(secrets: secrets, keys: secrets.map { SwarmKey(secret: $0) })
                for (identity, model) in state.models {
                    for key in names.keys { names.models[key.modelID(identity)] = (model, key) }
                }
                state.names = names
            }
            return state.names
        }
    }

    /// Nil for whoever names no model or has no right token: the two look alike.
    private func admit(_ modelID: String, _ authorization: String?) -> ModelSwarm? {
        let now = Int64(Date.now.timeIntervalSince1970)
        guard let (model, key) = names().models[modelID],
            key.accepts(authorization: authorization, modelID: modelID, now: now)
        else {
            return nil
        }
        return model
    }

    // MARK: Addresses

    private func lookUp() async {
        let source = configuration.peers
        let port = configuration.listen.port == 0 ? self.port : configuration.listen.port
        let bound = configuration.listen.host
        let found = try? await NIOThreadPool.singleton.runIfActive {
            (PeerLookup.addresses(of: source, defaultPort: port), PeerLookup.ownHosts())
        }
        let (models, candidates, own) = state.withLock { state in
            state.lookups += 1
            if let (addresses, hosts) = found, let addresses {
                state.candidates = addresses
                let mine = addresses.filter { $0.port == state.port && (hosts.contains($0.host) || $0.host == bound) }
                state.own = configuration.advertised ?? mine.min { $0.description < $1.description } ?? state.own
            }
            return (Array(state.models.values), state.candidates, state.own)
        }
        for model in models { model.update(candidates: candidates, own: own) }
    }

    // MARK: TLS

    private static func contexts(_ files: SwarmConfiguration.TLSFiles) throws(SwarmError) -> (
        server: NIOSSLContext, client: NIOSSLContext
    ) {
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificate).map {
                NIOSSLCertificateSource.certificate($0)
            }
            let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
            let server = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
            var client = TLSConfiguration.makeClientConfiguration()
            client.trustRoots = .file(files.authority)
            // Peers are known by address; the authority is the cluster's own and signs nobody else.
            client.certificateVerification = .noHostnameVerification
            return (try NIOSSLContext(configuration: server), try NIOSSLContext(configuration: client))
        } catch {
            throw .badCertificates("\(error)")
        }
    }
}
