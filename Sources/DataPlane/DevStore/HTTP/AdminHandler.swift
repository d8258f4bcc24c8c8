internal import Foundation
internal import NIOCore
internal import NIOHTTP1

/// `GET|PUT|DELETE /faults`, `GET|DELETE /stats`: JSON.
///
/// `@unchecked Sendable`: used on the channel's event loop alone.
final class AdminHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: StoreServer
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    init(server: StoreServer) { self.server = server }

    private struct Faults: Encodable {
        let plan: FaultPlan
        /// How often each rule acted.
        let acted: [Int]
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
        case .body(var part):
            // Plans are small; whoever sends more is cut off.
            guard body.readableBytes < 4 << 20 else { return context.close(promise: nil) }
            body.writeBuffer(&part)
        case .end:
            guard let head else { return }
            let (status, text) = answer(head)
            let headers = HTTPHeaders([("Content-Type", "application/json"), ("Content-Length", "\(text.utf8.count)")])
            context.write(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: status, headers: headers))), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ head: HTTPRequestHead) -> (HTTPResponseStatus, String) {
        switch (head.method, head.uri) {
        case (.GET, "/faults"):
            let (plan, acted) = server.service.faults
            return json(Faults(plan: plan, acted: acted))
        case (.PUT, "/faults"):
            do {
                server.setFaults(try JSONDecoder().decode(FaultPlan.self, from: Data(body.readableBytesView)))
                return (.ok, "{}\n")
            } catch {
                return (.badRequest, "{\"error\": \"not a fault plan\"}\n")
            }
        case (.DELETE, "/faults"):
            server.setFaults(FaultPlan())
            return (.ok, "{}\n")
        case (.GET, "/stats"): return json(server.statistics.snapshot)
        case (.DELETE, "/stats"):
            server.statistics.clear()
            return (.ok, "{}\n")
        default: return (.notFound, "{\"error\": \"GET, PUT or DELETE /faults; GET or DELETE /stats\"}\n")
        }
    }

    private func json(_ value: some Encodable) -> (HTTPResponseStatus, String) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return (.internalServerError, "{}\n") }
        return (.ok, String(decoding: data, as: UTF8.self) + "\n")
    }
}
