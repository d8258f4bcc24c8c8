internal import Foundation
internal import Glibc
internal import HTTPBounds
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore

/// Serves the page on the loopback until the process ends.
public struct PageServer: Sendable {
    /// A browser has up to six.
    private static let mostConnections = 32

    private let feed: PageFeed
    private let port: Int

    /// - Parameter port: 0: any.
    public init(_ feed: PageFeed, port: Int) {
        self.feed = feed
        self.port = port
    }

    /// - Parameter listens: called with the page's address.
    /// - Throws: `PageServer.Busy`.
    public func run(listens: @escaping @Sendable (String) -> Void) async throws {
        let logger = Logger(label: "ui") { _ in SwiftLogNoOpLogHandler() }
        let application = Application(
            responder: PageResponder(feed: feed, rule: PageRule(user: geteuid())),
            server: BoundedHTTP.server(mostConnections: Self.mostConnections),
            configuration: ApplicationConfiguration(
                address: .hostname("127.0.0.1", port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.mostConnections)),
            onServerRunning: { channel in
                await BoundedHTTP.restsWithoutDescriptors(channel, logger)
                listens("http://127.0.0.1:\(channel.localAddress?.port ?? 0)/")
            },
            logger: logger)
        do {
            try await application.run()
        } catch is CancellationError {
        } catch {
            throw Busy(port: port, reason: "\(error)")
        }
    }

    /// The port cannot be had.
    public struct Busy: Error, CustomStringConvertible {
        let port: Int
        let reason: String

        public var description: String {
            "cannot listen on 127.0.0.1:\(port): \(reason); choose another --port, or 0 for any"
        }
    }
}

private struct PageContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    private let client: LoopbackUser.End?
    private let server: LoopbackUser.End?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        client = source.channel.remoteAddress.flatMap(Self.end)
        server = source.channel.localAddress.flatMap(Self.end)
    }

    private static func end(_ address: SocketAddress) -> LoopbackUser.End? {
        guard let host = address.ipAddress, let port = address.port.flatMap({ UInt16(exactly: $0) }) else { return nil }
        return LoopbackUser.End(host: host, port: port)
    }

    /// Looked for only when a request is worth it.
    var sender: UInt32? {
        guard let client, let server else { return nil }
        return LoopbackUser.find(client: client, server: server)
    }
}

private struct PageResponder: HTTPResponder {
    let feed: PageFeed
    let rule: PageRule

    /// The page's own style and script run, and nothing else: a name that were read as markup would do nothing.
    private static let policy = [
        "default-src 'none'", "style-src '\(PageText.styleDigest)'", "script-src '\(PageText.scriptDigest)'",
        "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")

    func respond(to request: Request, context: PageContext) async throws -> Response {
        let verdict = rule.verdict(
            method: request.method.rawValue, host: request.head.authority, path: request.uri.path,
            sender: context.sender)
        let isHead = request.method == .head
        switch verdict {
        case .page:
            return Self.response(.ok, "text/html; charset=utf-8", Data(PageText.html.utf8), isHead: isHead)
        case .data:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let data = try encoder.encode(await feed.data())
            return Self.response(.ok, "application/json", data, isHead: isHead)
        case .refused(let status, let why):
            var response = Self.response(
                .init(code: status), "text/plain; charset=utf-8", Data("\(why)\n".utf8), isHead: isHead)
            if status == 405 { response.headers[.allow] = "GET, HEAD" }
            return response
        }
    }

    private static func response(
        _ status: HTTPResponse.Status, _ type: String, _ body: Data, isHead: Bool
    ) -> Response {
        var headers: HTTPFields = [
            .contentType: type, .contentSecurityPolicy: policy, .cacheControl: "no-store",
            .xContentTypeOptions: "nosniff",
        ]
        // No address of this machine in requests to others, and no use of the page or its data by theirs.
        headers[.init("Referrer-Policy")!] = "no-referrer"
        headers[.init("Cross-Origin-Resource-Policy")!] = "same-origin"
        let content =
            isHead
            ? ResponseBody(contentLength: body.count) { writer in try await writer.finish(nil) }
            : ResponseBody(byteBuffer: ByteBuffer(bytes: body))
        return Response(status: status, headers: headers, body: content)
    }
}
