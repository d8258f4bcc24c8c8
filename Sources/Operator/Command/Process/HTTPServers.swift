import Admission
import CRD
import Controller
import Foundation
import HTTPBounds
import Hummingbird
import HummingbirdCore
import Kubernetes
import Logging
import ServiceLifecycle

/// One of the operator's two HTTP servers.
struct HTTPServer: Service {
    /// The setting that holds the address, for the message when it cannot be had.
    let setting: String
    let address: BindAddress
    private let application: Application<RouterResponder<BasicRequestContext>>

    /// A kubelet or a Prometheus has one or two.
    private static let mostConnections = 32

    private init(setting: String, address: BindAddress, router: Router<BasicRequestContext>, logger: Logger) {
        self.setting = setting
        self.address = address
        application = Application(
            router: router, server: BoundedHTTP.server(mostConnections: Self.mostConnections),
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.mostConnections)),
            onServerRunning: { channel in
                await BoundedHTTP.restsWithoutDescriptors(channel, logger)
                logger.info(
                    "listening",
                    metadata: ["setting": "\(setting)", "address": "\(channel.localAddress.map { "\($0)" } ?? "")"])
            },
            // Its own lines about starting say no more than ours.
            logger: Logger(label: "http", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    /// `/healthz`: the process answers. `/readyz`: the checks pass; with `?verbose`, or when they do not, each by name.
    static func probes(_ address: BindAddress, readiness: Readiness, logger: Logger) -> HTTPServer {
        let router = Router()
        router.get("/healthz") { _, _ in "ok" }
        router.get("/readyz") { request, _ in
            let (isPassed, report) = readiness.evaluate("readyz")
            guard isPassed else { return plain(.internalServerError, report) }
            return plain(.ok, request.uri.queryParameters.has("verbose") ? report : "ok")
        }
        return HTTPServer(setting: "health-probe-bind-address", address: address, router: router, logger: logger)
    }

    /// `/metrics` in Prometheus' text format for everybody, and what `kubectl modelcache nodes` and `starts` ask for
    /// those whom `gate` admits.
    static func metrics(
        _ address: BindAddress, registry: MetricsRegistry, controller: ModelCacheController, gate: ReportGate,
        logger: Logger
    ) -> HTTPServer {
        let router = Router()
        router.get(RouterPath(NodesReport.path)) { request, _ in
            try await admitted(request, by: gate) { try leaders(controller.nodesReport) }
        }
        router.get("\(ReadingsReport.path)/:uid") { request, context in
            try await admitted(request, by: gate) {
                try leaders(await controller.readingsReport(ofCache: context.parameters.require("uid")))
            }
        }
        router.get("/metrics") { _, _ in plain(.ok, registry.expose(), MetricsRegistry.contentType) }
        return HTTPServer(setting: "metrics-bind-address", address: address, router: router, logger: logger)
    }

    func run() async throws {
        do {
            try await application.run()
        } catch is CancellationError {
        } catch {
            throw OperatorFailure.wrongSetting(
                "--\(setting): cannot listen on \(address): \(error); choose another address, or 0 for none")
        }
    }

    private static func admitted(
        _ request: Request, by gate: ReportGate, _ answer: () async throws -> Response
    ) async throws -> Response {
        do throws(ReportGate.Refusal) {
            try await gate.admit(request)
        } catch {
            return plain(error.status, error.message + "\n")
        }
        return try await answer()
    }

    /// - Parameter report: nil: this replica does not lead.
    private static func leaders(_ report: (some Encodable)?) throws -> Response {
        guard let report else { return plain(.misdirectedRequest, "this replica does not lead\n") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return plain(.ok, String(decoding: try encoder.encode(report), as: UTF8.self), "application/json")
    }

    private static func plain(
        _ status: HTTPResponse.Status, _ text: String, _ type: String = "text/plain; charset=utf-8"
    ) -> Response {
        Response(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
