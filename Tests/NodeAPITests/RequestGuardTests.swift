import AgentAPI
import Foundation
import Logging
import NodeAPI
import Testing

@Suite struct RequestGuardTests {
    @Test func reportsAreOpenToLoopbackAndOrdersToNobodyUnsigned() throws {
        let file = NSTemporaryDirectory() + "/mc-secret-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("a-secret-of-the-test\n".utf8).write(to: URL(fileURLWithPath: file))
        let closed = RequestGuard(secretFile: file, node: "n", startedAt: 0, logger: Logger(label: "test"))
        let open = RequestGuard(secretFile: nil, node: "n", logger: Logger(label: "test"))
        func isAccepted(_ guarding: RequestGuard, _ target: String, _ peer: String?) -> Bool {
            guarding.check(method: "GET", target: target, authorization: nil, body: [], peer: peer, now: 0) == .accepted
        }
        for target in ["/metrics", "/v1/status", "/metrics?x"] {
            #expect(isAccepted(closed, target, "127.0.0.1") && isAccepted(closed, target, "::1"))
            #expect(!isAccepted(closed, target, "10.0.0.1") && !isAccepted(closed, target, nil))
            #expect(isAccepted(open, target, "10.0.0.1"))
        }
        for target in ["/v1/caches", "/v1/caches/x", "/metricsx", "//metrics", "/"] {
            #expect(!isAccepted(closed, target, "127.0.0.1"))
            #expect(isAccepted(open, target, "127.0.0.1") == !target.hasPrefix("/v1/caches"), "what does not exist is not found")
        }
        for target in ["/healthz", "/readyz"] { #expect(isAccepted(closed, target, nil) && isAccepted(open, target, nil)) }
    }
}
