internal import NIOCore
internal import NIOHTTP1

extension StoreService {
    /// ``IdentityService`` on a connection.
    func respondAsIdentity(to head: HTTPRequestHead, _ body: ByteBuffer) -> SmallRequestHandler.Answer {
        let headers = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }) { first, _ in first }
        let response = identity.respond(
            .init(method: head.method.rawValue, target: head.uri, headers: headers, body: String(buffer: body)),
            now: now)
        return SmallRequestHandler.Answer(
            status: HTTPResponseStatus(statusCode: response.status),
            fields: [("Content-Type", response.type), ("Date", HTTPDate.rfc1123(now))], text: response.text)
    }
}
