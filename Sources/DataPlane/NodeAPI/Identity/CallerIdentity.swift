package import AgentAPI
internal import Foundation
package import Models
internal import Synchronization

/// Decides which callers may open a cache through its own socket. The agent checks this at each `MC_OPEN`, before it
/// asks the store and before the first byte.
///
/// In a cluster, a pod of the ModelCache's own namespace may open the cache with the ServiceAccount token that it
/// shows. The agent authorizes a connection when it opens, and the connection stays authorized. The kubelet renews the
/// token in the pod's file, and every new connection shows the token of that moment. The agent could not take back the
/// pages that an open connection has mapped anyway.
///
/// A token that lacks nothing but a key which is not known here may be newer than what the operator last read: its
/// bearer waits a while for the operator's next look, so that a cluster may change its keys under programs that start.
///
/// Where a definition names no callers, whoever can reach the socket may ask. In both cases the store is then asked
/// with the caller's own credentials.
package final class CallerIdentity: CallerGate {
    /// Callers of one cache that wait at a time.
    static let maximumWaiting = 64

    private let refusals: CallerRefusals
    private let patience: Duration
    private let now: @Sendable () -> Int64
    /// The policy seen last, which all ModelCaches of a cluster share.
    private let known = Mutex<(policy: CallerPolicy, verifier: TokenVerifier)?>(nil)
    /// By the cache's full name.
    private let waiting = Mutex<[String: Int]>([:])

    /// - Parameters:
    ///   - patience: how long the bearer of a token of an unknown key waits for that key.
    ///   - now: seconds since 1970.
    package init(
        refusals: CallerRefusals = CallerRefusals(), patience: Duration = .zero,
        now: @escaping @Sendable () -> Int64 = { Int64(Date.now.timeIntervalSince1970) }
    ) {
        self.refusals = refusals
        self.patience = patience
        self.now = now
    }

    package func admit(
        token: String?, to current: @Sendable () async -> CacheDefinition?, waits: @Sendable () -> Void
    ) async throws(AgentFailure) -> AdmittedCaller? {
        let deadline = ContinuousClock.now + patience
        var waitsAt: String?
        defer { if let waitsAt { leave(waitsAt) } }
        while true {
            guard let cache = await current() else { return nil }
            guard let policy = cache.callers else { return AdmittedCaller(definition: cache) }
            let verifier = await verifier(for: policy)
            do throws(TokenProblem) {
                let pod = try verifier.verify(token, namespace: cache.namespace, now: now())
                return AdmittedCaller(definition: cache, pod: pod)
            } catch {
                let name = "\(cache.namespace)/\(cache.name)"
                let mayWait =
                    ContinuousClock.now < deadline
                    && verifier.mayBecomeGood(token, after: error, namespace: cache.namespace, now: now())
                    && (waitsAt != nil || enter(name))
                guard mayWait else {
                    refusals.count(error)
                    throw AgentFailure(.denied, "the ModelCache \(name) refuses the caller: \(error.explanation)")
                }
                if waitsAt == nil { waits() }
                waitsAt = name
            }
            repeat {
                try? await Task.sleep(for: .milliseconds(200))
            } while await current()?.callers == policy && .now < deadline
        }
    }

    package func admit(roleToken: String, to definition: CacheDefinition) async throws(AgentFailure) -> Int64? {
        guard let callers = definition.callers, let assumed = definition.source.role?.assumed else { return nil }
        let verifier = await TokenVerifier(
            CallerPolicy(
                issuer: callers.issuer, audience: SourceRole.audience(uri: definition.source.uri), keys: callers.keys))
        do throws(TokenProblem) {
            return try verifier.verify(
                roleToken, namespace: definition.namespace, serviceAccount: assumed.serviceAccount, now: now())
        } catch {
            refusals.count(error)
            throw AgentFailure(
                .denied,
                "the ModelCache \(definition.namespace)/\(definition.name) refuses the token for its role \(assumed.roleARN): \(error.explanation)"
            )
        }
    }

    private func enter(_ name: String) -> Bool {
        waiting.withLock { waiting in
            guard waiting[name, default: 0] < Self.maximumWaiting else { return false }
            waiting[name, default: 0] += 1
            return true
        }
    }

    private func leave(_ name: String) {
        waiting.withLock { waiting in
            let left = (waiting[name] ?? 1) - 1
            waiting[name] = left > 0 ? left : nil
        }
    }

    private func verifier(for policy: CallerPolicy) async -> TokenVerifier {
        if let known = known.withLock({ $0 }), known.policy == policy { return known.verifier }
        let made = await TokenVerifier(policy)
        known.withLock { $0 = (policy, made) }
        return made
    }
}
