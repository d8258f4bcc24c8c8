package import AgentAPI
internal import Foundation
package import Logging

/// Decides which callers may send which requests over HTTP. A caller without a right signature learns nothing of what
/// exists.
///
/// | path | no secret configured | secret configured |
/// | --- | --- | --- |
/// | `/healthz`, `/readyz` | open | open |
/// | `/metrics`, `/v1/status` | open | loopback peers, or signed |
/// | `/v1/caches` | refused | signed |
/// | everything else | not found | signed |
package struct RequestGuard: Sendable {
    private let file: AuthSecretFile?
    private let node: String
    private let ledger: OrderLedger

    /// - Parameters:
    ///   - secretFile: nil: no orders are taken at all.
    ///   - startedAt: seconds since 1970; what was signed before is no order for this agent.
    package init(
        secretFile: String?, node: String, startedAt: Int64 = Int64(Date.now.timeIntervalSince1970), logger: Logger
    ) {
        ledger = OrderLedger(startedAt: startedAt)
        file = secretFile.map { AuthSecretFile(path: $0, logger: logger) }
        self.node = node
    }

    package enum Verdict: Equatable, Sendable {
        case accepted
        case refused(AgentError)
    }

    /// - Parameters:
    ///   - target: path and query as in the request line.
    ///   - peer: the other end's address.
    ///   - now: seconds since 1970.
    package func check(
        method: String, target: String, authorization: String?, body: [UInt8], peer: String?, now: Int64
    ) -> Verdict {
        let path = target.prefix { $0 != "?" }
        let isReport = path == "/metrics" || path == "/v1/status"
        if path == "/healthz" || path == "/readyz" { return .accepted }
        guard let file else {
            // Nothing else exists then: such paths get their 404.
            guard path == CachePath.collection || path.hasPrefix(CachePath.collection + "/") else { return .accepted }
            return .refused(
                AgentError(
                    .notConfigured, "this agent takes no orders over HTTP",
                    remedy: "set MODELCACHE_AUTH_SECRET_FILE to the file of the secret that operator and agents share"))
        }
        if isReport, authorization == nil, Self.isLoopback(peer) { return .accepted }
        let refusal = Verdict.refused(
            AgentError(
                .unauthorized, "the request is not signed for this node",
                remedy: "sign it with the shared secret (\(RequestSignature.scheme)) and this node's name"))
        guard let secret = file.secret else { return refusal }
        let request = RequestSignature.Request(method: method, target: target, node: node, body: body)
        return
            switch RequestSignature.verify(authorization: authorization, request: request, secret: secret, now: now)
        {
        case .accepted: isNew(method, target, authorization, now: now) ? .accepted : superseded
        case .refused: refusal
        case .skewed(let seconds):
            .refused(
                AgentError(
                    .clockSkewed,
                    "the request's time is \(abs(seconds)) s \(seconds > 0 ? "ahead of" : "behind") this node's clock",
                    remedy: "set both clocks by NTP; \(RequestSignature.maximumSkewSeconds) s are tolerated"))
        }
    }

    /// Reports change nothing and may be asked for again.
    private func isNew(_ method: String, _ target: String, _ authorization: String?, now: Int64) -> Bool {
        let path = target.prefix { $0 != "?" }
        guard method != "GET", path.hasPrefix(CachePath.collection + "/") else { return true }
        guard let stamp = RequestSignature.Stamp(authorization: authorization) else { return false }
        let order = OrderNumber(query: target.dropFirst(path.count + 1))
        return ledger.admit(stamp, order: order, for: String(path), now: now)
    }

    private var superseded: Verdict {
        .refused(
            AgentError(
                .superseded, "a later order for this cache was carried out, or this agent has started since",
                remedy: "give the order again with the agent's epoch and a higher number", highestOrder: ledger.highest)
        )
    }

    private static func isLoopback(_ peer: String?) -> Bool {
        guard let peer else { return false }
        return peer == "::1" || peer.hasPrefix("127.") || peer.hasPrefix("::ffff:127.")
    }
}
