// NodeAPI: the agent over HTTP, and the identity of callers.
//
// - `StatusServer` listens: health, metrics, status, and the operator's orders (`CacheOrders`).
// - `RequestGuard` decides which request is let through, by signature (`AuthSecretFile`) and order (`OrderLedger`).
// - `CallerIdentity` decides which pod may open a cache, by its ServiceAccount token (`TokenVerifier`).
// Invariants: a caller without a right signature learns nothing of what exists; a token never reaches a log.
// Left to others: what an order does (Models), sockets of pods (Sessions).

internal import AgentAPI
internal import Foundation
internal import HTTPBounds
internal import Hummingbird
internal import HummingbirdCore
package import Logging
package import Models
package import ServiceLifecycle
internal import TextCoding

/// The agent's HTTP face: `/healthz`, `/readyz`, `/metrics` (Prometheus text format), `/v1/status` (JSON), and the
/// operator's orders under `/v1/caches`. ``RequestGuard`` says who may ask what.
package struct StatusServer {
    package let service: any Service

    /// - Throws: ``SettingError`` when `address` is not `host:port`.
    package init(
        address: String, status: @escaping @Sendable () async -> AgentStatus, orders: CacheOrders,
        guarding: RequestGuard,
        logger: Logger
    ) throws {
        service = try Self.application(
            address, "MODELCACHE_HTTP", AgentResponder(status: status, orders: orders, guarding: guarding), logger)
    }

    /// A server of `/metrics` alone, for a Prometheus that cannot sign: it says nothing of whose models there are.
    ///
    /// - Throws: ``SettingError`` when `address` is not `host:port`.
    package init(metricsAt address: String, status: @escaping @Sendable () async -> AgentStatus, logger: Logger) throws
    {
        service = try Self.application(
            address, "MODELCACHE_METRICS_BIND_ADDRESS", MetricsResponder(status: status), logger)
    }

    /// An operator, a scraper and some people have one each. Further ones close those that rest, of the address with
    /// the most of them first: nobody keeps the kubelet's probe out.
    private static let mostConnections = 256
    /// An order may wait for a disk, and for readers that are told to let go.
    private static let limits: ConnectionPace.Limits = {
        var limits = ConnectionPace.Limits()
        limits.answer = .seconds(300)
        return limits
    }()

    private static func application(
        _ address: String, _ variable: String, _ responder: some HTTPResponder<PeerContext>, _ logger: Logger
    ) throws -> any Service {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]) else {
            throw SettingError(
                field: variable, value: address, problem: "is not address:port", remedy: "set 127.0.0.1:9417 or off")
        }
        let host = address[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        return Application(
            responder: responder,
            server: BoundedHTTP.server(mostConnections: mostConnections, limits: limits),
            configuration: ApplicationConfiguration(
                address: .hostname(host.isEmpty ? EveryAddress.host : host, port: port),
                // Those whose answers are made count alone; more wait in the backlog until one of these has ended.
                availableConnectionsDelegate: MaximumAvailableConnections(mostConnections)),
            onServerRunning: { await BoundedHTTP.restsWithoutDescriptors($0, logger) },
            logger: logger)
    }
}

private struct PeerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The other end's address, without its port.
    let peer: String?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        peer = source.channel.remoteAddress?.ipAddress
    }
}

private struct MetricsResponder: HTTPResponder {
    let status: @Sendable () async -> AgentStatus

    func respond(to request: Request, context: PeerContext) async throws -> Response {
        guard request.method == .get, request.uri.path == "/metrics" else { return Response(status: .notFound) }
        return .metrics(MetricsText.encode(await status(), naming: .nobody))
    }
}

extension Response {
    fileprivate static func metrics(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

/// All requests. The path is looked at only after the guard has let a request through.
private struct AgentResponder: HTTPResponder {
    let status: @Sendable () async -> AgentStatus
    let orders: CacheOrders
    let guarding: RequestGuard

    func respond(to request: Request, context: PeerContext) async throws -> Response {
        var request = request
        let body: ByteBuffer
        do {
            body = try await request.collectBody(upTo: CachePath.maximumBodyBytes)
        } catch {
            return Self.response(
                CacheOrders.answer(
                    AgentError(
                        .bodyTooLarge, "the body is longer than \(CachePath.maximumBodyBytes) bytes",
                        remedy: "send a CacheDefinition alone")),
                closing: true)
        }
        let target = request.head.path ?? "/"
        let method = request.method.rawValue
        let verdict = guarding.check(
            method: method, target: target, authorization: request.headers[.authorization],
            body: Array(body.readableBytesView),
            peer: context.peer, now: Int64(Date.now.timeIntervalSince1970))
        if case .refused(let error) = verdict { return Self.response(CacheOrders.answer(error)) }
        switch (method, request.uri.path) {
        case ("GET", "/healthz"), ("GET", "/readyz"):
            // Ready: the sockets accept, which they do before this server starts, and the root is ours.
            return Response(
                status: .ok, headers: [.contentType: "text/plain; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: "ok\n")))
        case ("GET", "/metrics"):
            return .metrics(MetricsText.encode(await status()))
        case ("GET", "/v1/status"):
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return Self.response(CacheOrders.Answer(status: 200, body: try encoder.encode(await status())))
        default:
            return Self.response(
                await orders.answer(method: method, target: target, body: Data(body.readableBytesView)))
        }
    }

    private static func response(_ answer: CacheOrders.Answer, closing: Bool = false) -> Response {
        var headers: HTTPFields = [:]
        if answer.body != nil { headers[.contentType] = "application/json" }
        // The server does not read the rest of the body.
        if closing { headers[.connection] = "close" }
        return Response(
            status: .init(code: answer.status), headers: headers,
            body: answer.body.map { ResponseBody(byteBuffer: ByteBuffer(bytes: $0)) } ?? ResponseBody())
    }
}
