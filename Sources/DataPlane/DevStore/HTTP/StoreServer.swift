internal import Accepting
package import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
package import NIOSSL
internal import Synchronization

/// The store on its sockets: HTTP, HTTPS if a certificate is given, and the admin interface.
package final class StoreServer: Sendable {
    package let service: StoreService
    package let statistics = Statistics()
    let pacer: Pacer
    private let group: MultiThreadedEventLoopGroup
    private let channels = Mutex<[any Channel]>([])
    private let accessLog: Mutex<FileHandle?>

    /// - Parameter bandwidth: bytes per second over all connections; a bandwidth in the fault plan replaces it.
    package init(service: StoreService, threads: Int, bandwidth: Double?, accessLog: FileHandle?) {
        self.service = service
        pacer = Pacer(bytesPerSecond: service.faults.plan.bandwidth ?? bandwidth)
        group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        self.accessLog = Mutex(accessLog)
    }

    /// Serves objects on `host:port`; 0 lets the kernel choose. Returns the port.
    package func listen(host: String, port: Int, tls: NIOSSLContext? = nil) async throws -> Int {
        try await bind(host: host, port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                    withPipeliningAssistance: true, withErrorHandling: true)
                try channel.pipeline.syncOperations.addHandler(RequestHandler(server: self, encrypted: tls != nil))
            }
        }
    }

    /// Serves the admin interface, on loopback only, because it has no password.
    package func listenForAdmin(port: Int) async throws -> Int {
        try await bind(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                try channel.pipeline.syncOperations.addHandler(
                    // Plans are small.
                    SmallRequestHandler(maximumBytes: 4 << 20, answer: AdminService(server: self).respond))
            }
        }
    }

    /// Serves STS, the metadata services and a container's endpoint on `host:port`; 0 lets the kernel choose.
    package func listenForIdentity(host: String, port: Int, tls: NIOSSLContext? = nil) async throws -> Int {
        try await bind(host: host, port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                    withPipeliningAssistance: true, withErrorHandling: true)
                try channel.pipeline.syncOperations.addHandler(
                    // A token and a few names.
                    SmallRequestHandler(maximumBytes: 1 << 20, answer: self.service.respondAsIdentity))
            }
        }
    }

    private func bind(
        host: String, port: Int, _ initializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) async throws -> Int {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptPause { error in
                            FileHandle.standardError.write(Data("modelcache-devstore: clients wait: \(error)\n".utf8))
                        })
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer(initializer)
            .bind(host: host, port: port).get()
        channels.withLock { $0.append(channel) }
        return channel.localAddress?.port ?? port
    }

    package func shutDown() async {
        for channel in channels.withLock({ $0 }) { try? await channel.close() }
        try? await group.shutdownGracefully()
    }

    /// A new fault plan; its bandwidth, if any, replaces the cap.
    func setFaults(_ plan: FaultPlan) {
        service.setFaults(plan)
        if let bandwidth = plan.bandwidth { pacer.set(bytesPerSecond: bandwidth) }
    }

    func log(_ exchange: StoreService.Exchange, _ response: StoreResponse) {
        accessLog.withLock { file in
            guard let file else { return }
            let line = AccessLine(
                time: Date.now.timeIntervalSince1970, remote: exchange.request.remote, method: exchange.request.method,
                bucket: exchange.address.bucket, key: exchange.address.key, range: exchange.request.header("range"),
                status: response.status, length: response.contentLength, fault: response.fault != nil)
            guard var data = try? JSONEncoder().encode(line) else { return }
            data.append(0x0a)
            try? file.write(contentsOf: data)
        }
    }

    private struct AccessLine: Encodable {
        let time: Double
        let remote: String
        let method: String
        let bucket: String?
        let key: String?
        let range: String?
        let status: Int
        let length: Int64
        let fault: Bool
    }
}
