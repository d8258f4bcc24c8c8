import AgentAPI
import Foundation
import Logging
import NodeAPI
import Testing

/// A recorded order is good for as long as its signature; it must not undo a newer one.
@Suite struct OrderLedgerTests {
    private let secret = AuthSecret(contents: "a-secret-of-the-test\n")!

    private func withGuard(startedAt: Int64 = 1000, _ body: (RequestGuard) throws -> Void) throws {
        let file = NSTemporaryDirectory() + "/mc-secret-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("a-secret-of-the-test\n".utf8).write(to: URL(fileURLWithPath: file))
        try body(RequestGuard(secretFile: file, node: "n", startedAt: startedAt, logger: Logger(label: "test")))
    }

    private struct Order {
        var method = "PUT"
        var uid = "a"
        var body = "x"
        var time: Int64
        var number: OrderNumber?
        var target: String { CachePath.cache(uid, force: method == "DELETE", order: number) }
    }

    private func isAccepted(_ order: Order, by guarding: RequestGuard, now: Int64? = nil) -> Bool {
        let body = Array((order.method == "PUT" ? order.body : "").utf8)
        let header = RequestSignature.authorization(
            for: RequestSignature.Request(method: order.method, target: order.target, node: "n", body: body), secret: secret, now: order.time)
        let verdict = guarding.check(
            method: order.method, target: order.target, authorization: header, body: body, peer: "10.0.0.1", now: now ?? order.time)
        if case .refused(let error) = verdict { #expect(error.known == .superseded && error.known?.httpStatus == 409) }
        return verdict == .accepted
    }

    /// What the agent says its epoch and highest number are.
    private func highest(of guarding: RequestGuard) throws -> OrderNumber {
        let order = Order(time: 1001, number: OrderNumber(epoch: "", number: 1))
        let body = Array(order.body.utf8)
        let header = RequestSignature.authorization(
            for: RequestSignature.Request(method: "PUT", target: order.target, node: "n", body: body), secret: secret, now: 1001)
        let verdict = guarding.check(
            method: "PUT", target: order.target, authorization: header, body: body, peer: "10.0.0.1", now: 1001)
        guard case .refused(let error) = verdict, error.known == .superseded else {
            Issue.record("\(verdict)")
            return OrderNumber(epoch: "", number: 0)
        }
        return try #require(error.highestOrder)
    }

    @Test(arguments: [-299, -120, 0, 120, 299] as [Int64])
    func `A clock within the tolerated skew fails no order after an agent's start or a change of leaders`(skew: Int64) throws {
        try withGuard(startedAt: 1000) { guarding in
            var leader = OrderNumbers()
            leader.learned(try highest(of: guarding), for: "n")
            for _ in 0..<3 {
                #expect(isAccepted(Order(time: 1000 + skew, number: leader.next(for: "n")), by: guarding, now: 1000))
            }
            // The next leader's clock is as far off the other way, and it knows no number.
            var next = OrderNumbers()
            let first = next.next(for: "n")
            #expect(!isAccepted(Order(time: 1000 - skew, number: first), by: guarding, now: 1000))
            next.learned(try highest(of: guarding), for: "n")
            #expect(isAccepted(Order(method: "DELETE", time: 1000 - skew, number: next.next(for: "n")), by: guarding, now: 1000))
        }
    }

    @Test func `A recorded order is refused whatever its time, by number and by epoch`() throws {
        try withGuard { guarding in
            var numbers = OrderNumbers()
            numbers.learned(try highest(of: guarding), for: "n")
            let put = Order(time: 1290, number: numbers.next(for: "n"))
            #expect(isAccepted(put, by: guarding, now: 1001))
            #expect(isAccepted(put, by: guarding, now: 1001), "the last one again is a retry")
            #expect(isAccepted(Order(method: "DELETE", time: 1001, number: numbers.next(for: "n")), by: guarding, now: 1001))
            #expect(!isAccepted(put, by: guarding, now: 1100))
            try withGuard { restarted in #expect(!isAccepted(put, by: restarted, now: 1100)) }
        }
    }

    @Test func anOlderPutDoesNotUndoANewerOrder() throws {
        try withGuard { guarding in
            let put = Order(time: 1001)
            #expect(isAccepted(put, by: guarding))
            #expect(isAccepted(Order(method: "DELETE", time: 1002), by: guarding))
            #expect(!isAccepted(put, by: guarding, now: 1003))
            #expect(!isAccepted(put, by: guarding, now: 1301))
            #expect(isAccepted(Order(uid: "b", time: 1001), by: guarding, now: 1003), "caches do not know of each other")
        }
    }

    @Test func theLastOrderMayBeRepeated() throws {
        try withGuard { guarding in
            for now: Int64 in [1001, 1001, 1100] { #expect(isAccepted(Order(time: 1001), by: guarding, now: now)) }
        }
    }

    @Test func ordersOfOneSecondComeInTheirTurnAndNotAgain() throws {
        try withGuard { guarding in
            let first = Order(body: "first", time: 1001)
            let second = Order(body: "second", time: 1001)
            #expect(isAccepted(first, by: guarding) && isAccepted(second, by: guarding) && isAccepted(second, by: guarding))
            #expect(!isAccepted(first, by: guarding))
            #expect(isAccepted(second, by: guarding))
            #expect(isAccepted(Order(body: "first", time: 1002), by: guarding), "signed anew it is a new order")
        }
    }

    @Test func anAgentThatStartsTakesNothingFromBefore() throws {
        try withGuard(startedAt: 1000) { guarding in
            #expect(!isAccepted(Order(time: 999), by: guarding, now: 1000))
            #expect(isAccepted(Order(time: 1000), by: guarding))
        }
    }

    @Test func reportsMayBeAskedForAgain() throws {
        try withGuard { guarding in
            let request = RequestSignature.Request(method: "GET", target: "/v1/caches", node: "n")
            let header = RequestSignature.authorization(for: request, secret: secret, now: 900)
            for _ in 0..<2 {
                #expect(guarding.check(method: "GET", target: "/v1/caches", authorization: header, body: [], peer: nil, now: 1001) == .accepted)
            }
        }
    }

    @Test func whatIsTooOldForAnySignatureIsForgotten() {
        let ledger = OrderLedger(startedAt: 0)
        for time: Int64 in stride(from: 0, to: 3000, by: 100) {
            #expect(ledger.admit(.init(time: time, signature: [1]), for: "\(time)", now: time))
        }
        #expect(ledger.admit(.init(time: 1, signature: [2]), for: "0", now: 3000), "nothing is known of it any more; the clock refuses it")
        #expect(!ledger.admit(.init(time: 2899, signature: [2]), for: "2900", now: 3000))
    }
}
