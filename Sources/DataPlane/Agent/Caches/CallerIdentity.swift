package import AgentAPI
internal import Foundation
internal import Synchronization

/// Who may open a cache through its own socket: asked at each `MC_OPEN`, before the store is and before the first byte.
///
/// In a cluster it is pods of the ModelCache's own namespace, by the ServiceAccount token that they show. A connection was proven
/// when it opened and stays so: the kubelet renews the token in the pod's file and every new connection shows the one of that
/// moment, while what an open one has mapped could not be taken back from it anyway.
///
/// Where a definition names no callers, whoever can reach the socket may ask. In both cases the store is then asked with the
/// caller's own credentials.
package final class CallerIdentity: Sendable {
    /// The setting of `MC_OPEN` that carries the token.
    package static let tokenSetting = "MODELCACHE_TOKEN"

    private let refusals: CallerRefusals
    private let now: @Sendable () -> Int64
    /// The policy seen last, which all ModelCaches of a cluster share.
    private let known = Mutex<(policy: CallerPolicy, verifier: TokenVerifier)?>(nil)

    /// - Parameter now: seconds since 1970.
    package init(
        refusals: CallerRefusals = CallerRefusals(),
        now: @escaping @Sendable () -> Int64 = { Int64(Date.now.timeIntervalSince1970) }
    ) {
        self.refusals = refusals
        self.now = now
    }

    /// - Parameter token: taken out of the caller's settings; nil: it showed none.
    /// - Throws: ``AgentFailure`` of code `denied`, which says which check failed.
    package func check(token: String?, cache: CacheDefinition) async throws(AgentFailure) {
        guard let policy = cache.callers else { return }
        let verifier = await verifier(for: policy)
        do throws(TokenProblem) {
            try verifier.verify(token, namespace: cache.namespace, now: now())
        } catch {
            refusals.count(error)
            throw AgentFailure(.denied, "the ModelCache \(cache.namespace)/\(cache.name) refuses the caller: \(error.explanation)")
        }
    }

    private func verifier(for policy: CallerPolicy) async -> TokenVerifier {
        if let known = known.withLock({ $0 }), known.policy == policy { return known.verifier }
        let made = await TokenVerifier(policy)
        known.withLock { $0 = (policy, made) }
        return made
    }
}
