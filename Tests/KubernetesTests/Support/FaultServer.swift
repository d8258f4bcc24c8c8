import Foundation
import Glibc
import Kubernetes
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport

/// An HTTP server whose every answer is a test's own code: it can be late, cut, endless or wrong.
final class FaultServer: Sendable {
    struct Request: Sendable {
        var method: String
        var path: String
        var query: [String: String]
        var headers: HTTPHeaders
        var body: String
        /// From 0, over all connections.
        var number: Int
    }

    /// What a request is answered through.
    struct Answer: Sendable {
        let channel: any Channel

        func head(_ status: Int = 200, _ headers: [(String, String)] = []) async {
            var fields = HTTPHeaders(headers)
            fields.add(name: "Content-Type", value: "application/json")
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: fields)
            try? await channel.writeAndFlush(HTTPServerResponsePart.head(head))
        }

        func write(_ text: String) async { await write(Array(text.utf8)) }

        func write(_ bytes: [UInt8]) async {
            let part = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes)))
            try? await channel.writeAndFlush(part)
        }

        func end() async { try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil)) }

        /// Closes the connection wherever the answer is.
        func cut() async { try? await channel.close() }

        func json(_ text: String, _ status: Int = 200, _ headers: [(String, String)] = []) async {
            await head(status, headers)
            await write(text)
            await end()
        }

        func refuse(_ code: Int, _ reason: String, message: String = "refused", _ headers: [(String, String)] = []) async {
            await json(
                #"{"kind":"Status","status":"Failure","reason":"\#(reason)","message":"\#(message)","code":\#(code)}"#,
                code, headers)
        }

        /// Until the other side is gone.
        func hang() async { try? await channel.closeFuture.get() }
    }

    typealias Handler = @Sendable (Request, Answer) async -> Void

    private let channel: any Channel
    private let log: Log

    private final class Log: Sendable {
        let requests = Mutex<[Request]>([])
    }

    init(_ handler: @escaping Handler) async throws {
        let log = Log()
        self.log = log
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.pipeline.configureHTTPServerPipeline(withErrorHandling: false).flatMapThrowing {
                    try channel.pipeline.syncOperations.addHandler(
                        Exchange { head, body, channel in
                            let request = log.requests.withLock { requests in
                                let request = Self.request(head, body, requests.count)
                                requests.append(request)
                                return request
                            }
                            Task { await handler(request, Answer(channel: channel)) }
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    var url: String { "http://127.0.0.1:\(channel.localAddress?.port ?? 0)" }
    var requests: [Request] { log.requests.withLock { $0 } }

    func stop() async { try? await channel.close() }

    /// A client of this server that does not wait long.
    func client(
        _ authentication: Authentication = Authentication(), observer: (any RequestObserver)? = nil,
        _ change: (inout ClientOptions) -> Void = { _ in }
    ) throws -> KubernetesClient {
        var options = ClientOptions()
        options.initialBackoff = .milliseconds(5)
        options.maximumBackoff = .milliseconds(20)
        options.requestTimeout = .seconds(60)
        change(&options)
        return try KubernetesClient(
            configuration: ClientConfiguration(server: url, authentication: authentication), options: options,
            observer: observer)
    }

    private static func request(_ head: HTTPRequestHead, _ body: ByteBuffer, _ number: Int) -> Request {
        let parts = URLComponents(string: head.uri)
        let items = (parts?.queryItems ?? []).map { ($0.name, $0.value ?? "") }
        return Request(
            method: head.method.rawValue, path: parts?.percentEncodedPath ?? head.uri,
            query: Dictionary(items, uniquingKeysWith: { _, last in last }), headers: head.headers,
            body: String(buffer: body), number: number)
    }

    private final class Exchange: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart

        private var head: HTTPRequestHead?
        private var body = ByteBuffer()
        private let answer: @Sendable (HTTPRequestHead, ByteBuffer, any Channel) -> Void

        init(_ answer: @escaping @Sendable (HTTPRequestHead, ByteBuffer, any Channel) -> Void) {
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body = ByteBuffer()
            case .body(var part):
                body.writeBuffer(&part)
            case .end:
                if let head { answer(head, body, context.channel) }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// Runs `body` against a server and a client, and ends both.
func withServer(
    _ handler: @escaping FaultServer.Handler,
    authentication: Authentication = Authentication(),
    observer: (any RequestObserver)? = nil,
    options: (inout ClientOptions) -> Void = { _ in },
    _ body: (FaultServer, KubernetesClient) async throws -> Void
) async throws {
    let server = try await FaultServer(handler)
    let client = try server.client(authentication, observer: observer, options)
    do {
        try await body(server, client)
    } catch {
        try? await client.shutdown()
        await server.stop()
        throw error
    }
    try? await client.shutdown()
    await server.stop()
}

/// A port of 127.0.0.1 on which nobody listens, nor can begin to while this holds it.
struct UnusedPort {
    let number: Int
    private let socket: Int32

    init() throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { [socket, size] pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, size) } == 0
        }
        guard isBound else { throw NeverHappened(description: "no port of its own could be bound") }
        withUnsafeMutablePointer(to: &address) { [socket] pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &size) }
        }
        number = Int(UInt16(bigEndian: address.sin_port))
    }

    func free() { close(socket) }
}

/// A folder that goes with the test.
func withFolder(_ body: (String) async throws -> Void) async throws {
    let path = NSTemporaryDirectory() + "kubernetes-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try await body(path)
}

func write(_ text: String, to path: String, mode: Int = 0o600) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
}

/// A pod as the server would send it.
func podJSON(_ name: String, version: Int, label: String = "a") -> String {
    #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"\#(name)","namespace":"ns","uid":"u-\#(name)","resourceVersion":"\#(version)","labels":{"l":"\#(label)"},"managedFields":[{"manager":"x","fieldsV1":{"f:spec":{}}}]},"spec":{"containers":[{"name":"c","unknown":{"a":[1,2]}}]},"status":{"phase":"Running"}}"#
}

func listJSON(_ items: [String], version: Int, next: String = "") -> String {
    #"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"\#(version)","continue":"\#(next)"},"items":[\#(items.joined(separator: ","))]}"#
}

func eventJSON(_ type: String, _ object: String) -> String {
    #"{"type":"\#(type)","object":\#(object)}"# + "\n"
}

func bookmarkJSON(_ version: Int) -> String {
    eventJSON("BOOKMARK", #"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"\#(version)","creationTimestamp":null},"spec":{"containers":null},"status":{}}"#)
}
