internal import Accepting
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import SwarmPlan
internal import Synchronization

/// Serves peers over HTTP/1.1. A client without a right token gets 404 without a body for everything.
///
/// | request | answer |
/// | --- | --- |
/// | `GET /swarm/v1/models/<id>/map` | what is held, as JSON, for people; `HEAD`: whether the model is open here |
/// | `GET /swarm/v1/models/<id>/files/<index>` with `Range` | 206, complete blocks; waits for arriving ones; else 416 |
/// | `POST /swarm/v1/models/<id>/control` | frames in both directions (``ControlFrame``) |
///
/// `<id>` is ``SwarmKey/modelID(_:)``.
final class PeerServer: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let tls: NIOSSLContext?
    private let channels = Mutex<[any Channel]>([])
    private let uploads = Mutex(UploadQueue<UInt64>())
    private let connections = Mutex(0)
    private let waiting = Mutex<(begin: [UInt64: @Sendable () -> Void], last: UInt64)>(([:], 0))
    /// Finds a model by its name and token.
    let admit: @Sendable (_ modelID: String, _ authorization: String?) -> ModelSwarm?
    let introduction: PeerIntroduction
    private let loadChanged: @Sendable (Int) -> Void
    private let logger: Logger

    init(
        group: MultiThreadedEventLoopGroup, tls: NIOSSLContext?, introduction: PeerIntroduction, logger: Logger,
        admit: @escaping @Sendable (String, String?) -> ModelSwarm?, loadChanged: @escaping @Sendable (Int) -> Void
    ) {
        self.group = group
        self.tls = tls
        self.introduction = introduction
        self.logger = logger
        self.admit = admit
        self.loadChanged = loadChanged
    }

    /// Each neighbour has a few; a caller who is no peer can have no more than all.
    private static let maximumConnections = 4096
    /// Without a byte in either direction, a connection that nobody is being served on is closed.
    private static let idleTimeout = TimeAmount.seconds(120)

    private struct TooManyConnections: Error {}

    /// - Throws: when there are too many already; the channel is closed then.
    private func count(_ channel: any Channel) throws {
        let isTaken = connections.withLock { count in
            guard count < Self.maximumConnections else { return false }
            count += 1
            return true
        }
        guard isTaken else { throw TooManyConnections() }
        channel.closeFuture.whenComplete { _ in self.connections.withLock { $0 -= 1 } }
    }

    var isEncrypted: Bool { tls != nil }

    /// - Returns: the port, where 0 let the kernel choose.
    func listen(host: String, port: Int) async throws -> Int {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { [logger] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptPause { error in
                            logger.error(
                                "out of file descriptors: peers wait; raise the agent's limit of open files",
                                metadata: ["reason": "\(error)"])
                        })
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 4 << 20))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try self.count(channel)
                    if let tls = self.tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withPipeliningAssistance: false, withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(IdleStateHandler(allTimeout: Self.idleTimeout))
                    try channel.pipeline.syncOperations.addHandler(PeerRequestHandler(server: self))
                }
            }
            .bind(host: host, port: port).get()
        channels.withLock { $0.append(channel) }
        return channel.localAddress?.port ?? port
    }

    func close() async {
        for channel in channels.withLock({ $0 }) { try? await channel.close() }
    }

    // MARK: Uploads

    /// Queues a request whose bytes are there; `begin` is called when it is its turn, on any thread. Once for each:
    /// ``uploadEnded(_:)``.
    func queueUpload(block: Int, urgent: Bool, begin: @escaping @Sendable () -> Void) -> UInt64 {
        let id = waiting.withLock { waiting in
            waiting.last += 1
            waiting.begin[waiting.last] = begin
            return waiting.last
        }
        let (begun, load) = uploads.withLock { queue in
            let begun = queue.arrived(id, block: block, urgent: urgent)
            return (begun, queue.load)
        }
        run(begun, load: load)
        return id
    }

    func uploadEnded(_ id: UInt64) {
        waiting.withLock { _ = $0.begin.removeValue(forKey: id) }
        let (begun, load) = uploads.withLock { queue in
            let begun = queue.ended(id)
            return (begun, queue.load)
        }
        run(begun, load: load)
    }

    /// A request being served waits for bytes: others have its place meanwhile.
    func pauseUpload(_ id: UInt64) {
        let (begun, load) = uploads.withLock { queue in
            let begun = queue.pause(id)
            return (begun, queue.load)
        }
        run(begun, load: load)
    }

    func resumeUpload(_ id: UInt64) { uploads.withLock { $0.resume(id) } }

    private func run(_ begun: [UInt64], load: Int) {
        for id in begun {
            let begin = waiting.withLock { $0.begin.removeValue(forKey: id) }
            begin?()
        }
        loadChanged(load)
    }
}
