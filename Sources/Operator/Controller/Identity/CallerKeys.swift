internal import AgentAPI
package import Foundation
package import Kubernetes
package import Logging
internal import Synchronization

/// Follows the cluster's issuer and token keys, so that every definition carries them and agents verify offline.
///
/// The learned keys stay when a later look fails: keys change seldom, and a rotation publishes the new ones before it
/// uses them.
package final class CallerKeys: Sendable {
    private struct State {
        var knowledge: CallerKnowledge
        /// Of the looks in a row that failed.
        var failures = 0
    }

    /// An agent that meets a token of a key that it does not know waits for the next look (MODELCACHE_KEY_WAIT_SECONDS,
    /// 150), and its readers for the agent: two small requests a minute.
    static let refresh: Duration = .seconds(60)

    private let fetch: @Sendable (_ path: String) async throws -> Data
    private let issuer: String?
    private let allowsUnverified: Bool
    private let logger: Logger
    private let looks: CounterFamily
    private let state: Mutex<State>
    private let firstLook = AsyncStream.makeStream(of: Void.self)

    /// - Parameters:
    ///   - fetch: a GET of the API server.
    ///   - issuer: instead of the discovery document's.
    ///   - allowsUnverified: while no keys are known, nobody is asked for a token.
    package init(
        issuer: String?, allowsUnverified: Bool, metrics: MetricsRegistry, logger: Logger = Logger(label: "callers"),
        fetch: @escaping @Sendable (_ path: String) async throws -> Data
    ) {
        self.fetch = fetch
        self.issuer = issuer
        self.allowsUnverified = allowsUnverified
        self.logger = logger
        looks = metrics.counter(
            "modelcache_token_keys_reads_total", help: "Reads of the cluster's token keys by outcome.",
            labels: ["outcome"])
        for outcome in ["success", "failure"] { _ = looks[outcome] }
        state = Mutex(State(knowledge: allowsUnverified ? .unverified : .unknown(why: "they were not read yet")))
    }

    package var knowledge: CallerKnowledge { state.withLock { $0.knowledge } }

    /// Returns when there was one look, whatever it brought: an operator that starts must not tell agents that nothing
    /// is known.
    func waitForFirstLook() async {
        for await _ in firstLook.stream {}
    }

    /// Until cancelled. `changed` is called when the knowledge is another than before.
    func run(changed: @Sendable (CallerKnowledge) -> Void) async throws {
        while true {
            if let knowledge = await look() { changed(knowledge) }
            firstLook.continuation.finish()
            let failures = state.withLock { $0.failures }
            try await Task.sleep(for: failures == 0 ? Self.refresh : min(.seconds(60), .seconds(2 << min(failures, 5))))
        }
    }

    /// One look; the knowledge when it changed.
    package func look() async -> CallerKnowledge? {
        do {
            let name: String
            if let issuer {
                name = issuer
            } else {
                name = try IssuerDocuments.issuer(try await fetch(IssuerDocuments.discoveryPath))
            }
            let policy = CallerPolicy(
                issuer: name, keys: try IssuerDocuments.keys(try await fetch(IssuerDocuments.keysPath)))
            looks["success"].increment()
            return settle(.known(policy), failures: 0)
        } catch {
            if Task.isCancelled { return nil }
            looks["failure"].increment()
            let why = Words.line("\(error)", limit: 300)
            let failures = state.withLock { state in
                state.failures += 1
                return state.failures
            }
            logger.log(
                level: failures == 1 ? .error : .debug,
                "the cluster's token keys cannot be read; the operator needs get on \(IssuerDocuments.discoveryPath) and \(IssuerDocuments.keysPath)",
                metadata: ["reason": "\(why)", "tries": "\(failures)"])
            if case .known = knowledge { return nil }
            return settle(allowsUnverified ? .unverified : .unknown(why: why), failures: failures)
        }
    }

    private func settle(_ knowledge: CallerKnowledge, failures: Int) -> CallerKnowledge? {
        let before = state.withLock { state in
            defer { state = State(knowledge: knowledge, failures: failures) }
            return state.knowledge
        }
        guard before != knowledge else { return nil }
        switch knowledge {
        case .known(let policy):
            logger.info(
                "the cluster's token keys are known",
                metadata: ["issuer": "\(policy.issuer)", "digest": "\(policy.digest)"])
        case .unverified:
            logger.warning("callers of ModelCaches' sockets are not verified (--allow-unverified-callers)")
        case .unknown: break
        }
        return knowledge
    }
}
