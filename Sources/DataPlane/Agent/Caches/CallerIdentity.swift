package import AgentAPI
internal import Foundation
internal import Synchronization

/// Who may open a cache through its own socket: asked at each `MC_OPEN`, before the store is and before the first byte.
///
/// In a cluster it is pods of the ModelCache's own namespace, by the ServiceAccount token that they show. A connection was proven
/// when it opened and stays so: the kubelet renews the token in the pod's file and every new connection shows the one of that
/// moment, while what an open one has mapped could not be taken back from it anyway.
///
/// A token that lacks nothing but a key which is not known here may be newer than what the operator last read: its bearer waits a while
/// for the operator's next look, so that a cluster may change its keys under programs that start.
///
/// Where a definition names no callers, whoever can reach the socket may ask. In both cases the store is then asked with the
/// caller's own credentials.
package final class CallerIdentity: Sendable {
    /// The setting of `MC_OPEN` that carries the token.
    package static let tokenSetting = "MODELCACHE_TOKEN"

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

    /// - Parameters:
    ///   - token: taken out of the caller's settings; nil: it showed none.
    ///   - current: the cache's definition of the moment; nil: the cache is gone.
    ///   - waits: called when the answer is put off.
    /// - Returns: the definition by which the caller was found right; nil: the cache is gone.
    /// - Throws: ``AgentFailure`` of code `denied`, which says which check failed.
    package func admit(
        token: String?, to current: @Sendable () async -> CacheDefinition?, waits: @Sendable () -> Void = {}
    ) async throws(AgentFailure) -> CacheDefinition? {
        let deadline = ContinuousClock.now + patience
        var waitsAt: String?
        defer { if let waitsAt { leave(waitsAt) } }
        while true {
            guard let cache = await current() else { return nil }
            guard let policy = cache.callers else { return cache }
            let verifier = await verifier(for: policy)
            do throws(TokenProblem) {
                try verifier.verify(token, namespace: cache.namespace, now: now())
                return cache
            } catch {
                let name = "\(cache.namespace)/\(cache.name)"
                let mayWait =
                    ContinuousClock.now < deadline && verifier.mayBecomeGood(token, after: error, namespace: cache.namespace, now: now())
                    && (waitsAt != nil || enter(name))
                guard mayWait else {
                    refusals.count(error)
                    throw AgentFailure(.denied, "the ModelCache \(name) refuses the caller: \(error.explanation)")
                }
                if waitsAt == nil { waits() }
                waitsAt = name
            }
            repeat { try? await Task.sleep(for: .milliseconds(200)) } while await current()?.callers == policy && .now < deadline
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
