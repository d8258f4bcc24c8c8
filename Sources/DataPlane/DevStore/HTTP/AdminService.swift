internal import Foundation
internal import NIOCore
internal import NIOHTTP1

/// `GET|PUT|DELETE /faults`, `GET|PUT|DELETE /oddities`, `GET|DELETE /stats`, `GET|PUT /identity`: JSON.
struct AdminService: Sendable {
    let server: StoreServer

    private struct Faults: Encodable {
        let plan: FaultPlan
        /// How often each rule has acted.
        let acted: [Int]
    }

    func respond(to head: HTTPRequestHead, _ body: ByteBuffer) -> SmallRequestHandler.Answer {
        let (status, text) = answer(head, body)
        return SmallRequestHandler.Answer(status: status, text: text)
    }

    private func answer(_ head: HTTPRequestHead, _ body: ByteBuffer) -> (HTTPResponseStatus, String) {
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
        case (.GET, "/oddities"): return json(server.service.oddities.plan)
        case (.PUT, "/oddities"):
            do {
                let plan = try JSONDecoder().decode(OddityPlan.self, from: Data(body.readableBytesView))
                server.service.setOddities(plan)
                return (.ok, "{}\n")
            } catch {
                return (.badRequest, "{\"error\": \"not a plan of oddities\"}\n")
            }
        case (.DELETE, "/oddities"):
            server.service.setOddities(OddityPlan())
            return (.ok, "{}\n")
        case (.GET, "/identity"): return json(server.service.identity.counts)
        case (.PUT, "/identity"):
            guard let plan = try? JSONDecoder().decode(IdentityPlan.self, from: Data(body.readableBytesView)) else {
                return (.badRequest, "{\"error\": \"not an identity plan\"}\n")
            }
            server.service.identity.plan = plan
            return (.ok, "{}\n")
        case (.GET, "/stats"): return json(server.statistics.snapshot)
        case (.DELETE, "/stats"):
            server.statistics.clear()
            return (.ok, "{}\n")
        default:
            return (
                .notFound,
                "{\"error\": \"GET, PUT or DELETE /faults or /oddities; GET or DELETE /stats; GET or PUT /identity\"}\n"
            )
        }
    }

    private func json(_ value: some Encodable) -> (HTTPResponseStatus, String) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return (.internalServerError, "{}\n") }
        return (.ok, String(decoding: data, as: UTF8.self) + "\n")
    }
}
