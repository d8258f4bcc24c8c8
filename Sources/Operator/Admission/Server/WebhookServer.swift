public import CRD
internal import HTTPBounds
internal import Hummingbird
internal import HummingbirdCore
public import Kubernetes
public import Logging
internal import NIOCore
internal import NIOSSL
public import ServiceLifecycle
internal import Synchronization

/// The HTTPS server that API servers call when a pod is created, when a ModelCache is created or changed, and
/// when its definition or the namespace of the operator is deleted.
///
/// **Guarantees.** TLS 1.2 or newer; each new connection gets the certificate that is loaded then, open ones go on. It
/// listens from when a certificate is loaded. After a shutdown was asked for it answers on for
/// ``init(host:port:source:policy:certificate:drain:metrics:logger:)``'s `drain`, while the cluster stops sending, then
/// ends what is in flight. Connections, their time, and the bytes of bodies and of what is read from them are bounded,
/// whatever is sent.
public final class WebhookServer<Source: InjectionSource>: Service {
    private let certificate: ServingCertificate
    private let drain: Duration
    private let responder: WebhookResponder<Source>
    private let host: String
    private let port: Int
    private let logger: Logger
    private let listening = Mutex(false)

    /// An API server has a connection for each review that it waits for. Those that wait for no response are closed for
    /// new ones; more wait in the kernel until one closes.
    private static var mostConnections: Int { 256 }

    public init(
        host: String, port: Int, source: Source, policy: ValidationPolicy, certificate: ServingCertificate,
        drain: Duration,
        metrics: MetricsRegistry, logger: Logger
    ) {
        self.host = host
        self.port = port
        self.certificate = certificate
        self.drain = drain
        self.logger = logger
        responder = WebhookResponder(
            source: source, policy: policy,
            metrics: WebhookMetrics(metrics, paths: WebhookResponder<Source>.paths),
            logger: logger)
        let expiry = metrics.gauge(
            "modelcache_webhook_certificate_expiry_timestamp_seconds",
            help: "When the certificate that the webhook shows expires.")[]
        metrics.onCollect { [certificate] in expiry.set(certificate.notAfter?.timeIntervalSince1970 ?? 0) }
    }

    public var isListening: Bool { listening.withLock { $0 } }

    /// - Throws: when the address cannot be listened on.
    public func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                while !self.certificate.isLoaded { try await Task.sleep(for: .milliseconds(100)) }
            }
        } catch is CancellationError {
            return
        }
        // A group of its own, on a task that knows nothing of the process's shutdown: that one comes after the drain.
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: application())],
                logger: Logger(label: "webhook.http", factory: { _ in SwiftLogNoOpLogHandler() })))
        let serving = Task.detached { try await group.run() }
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                do { try await serving.value } catch is CancellationError {}
            } onGracefulShutdown: {
                Task {
                    try? await Task.sleep(for: self.drain)
                    await group.triggerGracefulShutdown()
                }
            }
        } onCancel: {
            serving.cancel()
        }
        listening.withLock { $0 = false }
    }

    private func application() -> Application<WebhookResponder<Source>> {
        let quiet = Logger(label: "webhook.http", factory: { _ in SwiftLogNoOpLogHandler() })
        let certificate = certificate
        let register = ConnectionRegister(mostConnections: Self.mostConnections)
        return Application(
            responder: responder,
            server: HTTPServerBuilder { respond in
                FreshTLSChannel(
                    base: BoundedHTTP.channel(register, ConnectionPace.Limits(), respond), certificate: certificate)
            },
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.mostConnections)),
            onServerRunning: { [logger] channel in
                await BoundedHTTP.restsWithoutDescriptors(channel, logger)
                self.listening.withLock { $0 = true }
                logger.info(
                    "listening",
                    metadata: [
                        "setting": "webhook-bind-address", "address": "\(channel.localAddress.map { "\($0)" } ?? "")",
                    ])
            },
            logger: quiet)
    }
}

/// HTTP over TLS with the certificate of the moment at which a connection comes in. HummingbirdTLS has one for the
/// server's whole life.
private struct FreshTLSChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    let base: HTTP1Channel
    let certificate: ServingCertificate

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            guard let context = certificate.context else { throw ChannelError.ioOnClosedChannel }
            try BoundedHTTP.boundReads(of: channel)
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        }.flatMap {
            base.setup(channel: channel, logger: logger)
        }
    }

    func handle(value: Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
