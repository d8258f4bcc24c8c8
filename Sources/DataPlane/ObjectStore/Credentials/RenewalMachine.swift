/// Decides when temporary credentials are fetched, kept, renewed and given up: a pure value.
///
/// Nothing happens by itself. Each request to the store asks for credentials, and the machine says in passing that a
/// fetch is due. So a source that nobody reads from asks no service, and its last credentials simply end.
///
///     idle ──asked──▸ fetching ──fetched──▸ held ──asked after renewAt──▸ fetching
///                        │  ▴
///                  failed▾  │asked after retryAt
///                       failed
///
/// In `fetching` and `failed` the credentials before serve until they end. Times are seconds since 1970.
package struct RenewalMachine: Sendable, Hashable {
    /// A quarter of the session's life is left for renewals that fail, at most five minutes of it.
    static let longestMargin: Int64 = 300
    /// Requests that are signed now are judged when they arrive, by a clock that may be a little ahead.
    static let shortestLeft: Int64 = 2
    static let longestBackOff: Int64 = 60
    /// A service that refused is asked again, but not soon: somebody must change something first.
    static let refusalBackOff: Int64 = 30
    /// Credentials without an end, and no credentials at all, are asked for again after so long.
    static let unlimitedLife: Int64 = 900
    /// The store refused credentials that are younger: others would fare no better.
    static let freshSeconds: Int64 = 10

    package struct Held: Sendable, Hashable {
        package let credentials: StoreCredentials?
        package let fetchedAt: Int64
        package let renewAt: Int64

        func isUsable(_ now: Int64) -> Bool { credentials?.expiration.map { $0 - shortestLeft > now } ?? true }
    }

    package enum Phase: Sendable, Hashable {
        /// Then fetching.
        case idle
        /// Then held or failed. `failures`: fetches that failed in a row before this one.
        case fetching(Held?, failures: Int)
        /// Then fetching.
        case held(Held)
        /// Then fetching.
        case failed(Held?, CredentialsProblem, failures: Int, retryAt: Int64)
    }

    package enum Answer: Sendable, Hashable {
        /// Nil: send no signature.
        case use(StoreCredentials?)
        /// A fetch is under way; ask again when it has ended.
        case wait
        case refuse(CredentialsProblem, retryAfter: Int64)
    }

    package private(set) var phase = Phase.idle

    package init() {}

    /// Somebody needs credentials. `fetches`: the caller must start a fetch, and report how it ended.
    package mutating func asked(now: Int64) -> (answer: Answer, fetches: Bool) {
        switch phase {
        case .idle:
            phase = .fetching(nil, failures: 0)
            return (.wait, true)
        case .fetching(let held, _): return (Self.answer(held, now) ?? .wait, false)
        case .held(let held):
            if now < held.renewAt, held.isUsable(now) { return (.use(held.credentials), false) }
            phase = .fetching(held, failures: 0)
            return (Self.answer(held, now) ?? .wait, true)
        case .failed(let held, let problem, let failures, let retryAt):
            guard now >= retryAt else {
                return (Self.answer(held, now) ?? .refuse(problem, retryAfter: max(1, retryAt - now)), false)
            }
            phase = .fetching(held, failures: failures)
            return (Self.answer(held, now) ?? .wait, true)
        }
    }

    /// The fetch gave these; nil: the party has none to give, and requests are anonymous.
    ///
    /// - Parameter draw: a uniform number in 0..<1, which spreads the renewals of nodes that began together.
    package mutating func fetched(_ credentials: StoreCredentials?, now: Int64, draw: Double) {
        guard case .fetching = phase else { preconditionFailure("credentials came that nobody fetched: \(phase)") }
        let left = credentials?.expiration.map { max(0, $0 - Self.shortestLeft - now) } ?? Self.unlimitedLife
        let margin = min(Self.longestMargin, left / 4)
        let renewAt = now + max(1, left - margin - Int64(Double(margin) * draw / 4))
        phase = .held(Held(credentials: credentials, fetchedAt: now, renewAt: renewAt))
    }

    /// The fetch failed.
    ///
    /// - Parameter draw: as of ``fetched(_:now:draw:)``.
    package mutating func failed(_ problem: CredentialsProblem, now: Int64, draw: Double) {
        guard case .fetching(let held, let failures) = phase else {
            preconditionFailure("a fetch failed that nobody began: \(phase)")
        }
        let bound = min(Self.longestBackOff, Int64(1) << min(failures, 6))
        let base = problem.kind == .refused ? max(Self.refusalBackOff, bound) : bound
        phase = .failed(held, problem, failures: failures + 1, retryAt: now + base + Int64(Double(base) * draw / 2))
    }

    /// The store refused these credentials before their end. Nil: there are no others, and none are fetched, since
    /// these are fresh.
    package mutating func refused(_ refused: StoreCredentials, now: Int64) -> (answer: Answer, fetches: Bool)? {
        switch phase {
        case .idle: return nil
        case .held(let held):
            if held.credentials != refused { return asked(now: now) }
            guard now - held.fetchedAt >= Self.freshSeconds else { return nil }
            phase = .fetching(nil, failures: 0)
            return (.wait, true)
        case .fetching(let held, let failures):
            if held?.credentials == refused { phase = .fetching(nil, failures: failures) }
            return asked(now: now)
        case .failed(let held, let problem, let failures, let retryAt):
            if held?.credentials == refused { phase = .failed(nil, problem, failures: failures, retryAt: retryAt) }
            return asked(now: now)
        }
    }

    /// The cause of a failure may be gone: the next who asks starts a fetch and does not hear of it.
    package mutating func mayRetry(now: Int64) {
        guard case .failed(let held, let problem, _, _) = phase else { return }
        phase = .failed(held, problem, failures: 0, retryAt: now)
    }

    /// The newest credentials, usable or not.
    package var held: Held? {
        switch phase {
        case .idle: nil
        case .fetching(let held, _), .failed(let held, _, _, _): held
        case .held(let held): held
        }
    }

    private static func answer(_ held: Held?, _ now: Int64) -> Answer? {
        held.flatMap { $0.isUsable(now) ? .use($0.credentials) : nil }
    }
}
