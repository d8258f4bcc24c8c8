internal import Foundation
internal import Hummingbird
internal import Logging
internal import ObjectStore
internal import ServiceLifecycle

/// The agent's HTTP face: `/healthz`, `/readyz`, `/metrics` (Prometheus text format) and `/v1/status` (JSON).
struct StatusServer {
    let service: any Service

    /// - Throws: ``SettingError`` when `address` is not `host:port`.
    init(address: String, status: @escaping @Sendable () async -> AgentStatus, logger: Logger) throws {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]) else {
            throw SettingError(field: "MODELCACHE_HTTP", value: address, problem: "is not address:port", remedy: "set 127.0.0.1:9417 or off")
        }
        let host = address[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        let application = Application(
            router: Self.router(status: status),
            configuration: ApplicationConfiguration(address: .hostname(host.isEmpty ? "0.0.0.0" : host, port: port)),
            logger: logger)
        service = application
    }

    /// The routes alone, so that a test can ask them without a socket.
    static func router(status: @escaping @Sendable () async -> AgentStatus) -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/healthz") { _, _ in "ok\n" }
        // Ready: the socket accepts, which it does before this server starts, and the root is ours.
        router.get("/readyz") { _, _ in "ok\n" }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: MetricsText.encode(await status()))))
        }
        router.get("/v1/status") { _, _ in
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return Response(
                status: .ok, headers: [.contentType: "application/json"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(await status()))))
        }
        return router
    }
}
