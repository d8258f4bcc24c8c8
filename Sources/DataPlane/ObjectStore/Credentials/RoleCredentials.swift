internal import Dispatch
import Synchronization

/// Credentials of one role, shared by everybody in the process who reads as it: ``RenewalMachine`` carried out.
///
/// Thread-safe. A fetch runs on a thread of its own and is bounded by its transport, so every wait ends.
package final class RoleCredentials: Sendable {
    private struct State {
        var machine = RenewalMachine()
        /// Those who wait for the fetch under way.
        var waiting: [CheckedContinuation<Void, Never>] = []
        var problem: CredentialsProblem?
    }

    package let source: RoleSource
    private let transport: any CredentialTransport
    private let clock: @Sendable () -> Int64
    private let state = Mutex(State())

    package init(
        _ source: RoleSource, transport: any CredentialTransport = CurlTransport(),
        clock: @escaping @Sendable () -> Int64 = { SystemClock.unixTime }
    ) {
        self.source = source
        self.transport = transport
        self.clock = clock
    }

    deinit { source.handedToken?.forget() }

    /// The credentials to sign with now; never waits. A renewal that is due begins.
    package func current() throws(StoreError) -> StoreCredentials? {
        switch ask({ $0.asked(now: $1) }) {
        case .use(let credentials): return credentials
        case .refuse(let problem, let seconds): throw problem.error(retryAfter: .seconds(seconds))
        case .wait: throw Self.underWay(source.principal)
        }
    }

    /// As ``current()``, but waits for the first fetch, or for a renewal that comes too late.
    package func ready() async throws(StoreError) -> StoreCredentials? {
        while true {
            switch ask({ $0.asked(now: $1) }) {
            case .use(let credentials): return credentials
            case .refuse(let problem, let seconds): throw problem.error(retryAfter: .seconds(seconds))
            case .wait: await fetchEnded()
            }
        }
    }

    /// The store refused these. Returns others, or nil when there are none to be had.
    package func replaced(_ refused: StoreCredentials) async -> StoreCredentials? {
        guard let answer = askedAnew(refused) else { return nil }
        if case .use(let other) = answer { return other }
        guard case .wait = answer else { return nil }
        return (try? await ready()).flatMap { $0 == refused ? nil : $0 }
    }

    /// As ``replaced(_:)``, without waiting.
    package func refused(_ refused: StoreCredentials) -> CredentialsProvider.Replacement {
        switch askedAnew(refused) {
        case .use(let other?): .other(other)
        case .use(nil), nil: .none
        case .wait: .later(Self.underWay(source.principal))
        case .refuse(let problem, let seconds): .later(problem.error(retryAfter: .seconds(seconds)))
        }
    }

    /// A client handed over another token: a failure of the former one says nothing of it.
    func tokenChanged() {
        let now = clock()
        state.withLock { $0.machine.mayRetry(now: now) }
    }

    /// When the newest credentials end, in seconds since 1970.
    package var expiration: Int64? { state.withLock { $0.machine.held?.credentials?.expiration } }

    /// The newest fetch's failure; nil: it succeeded, or none was made.
    package var problem: CredentialsProblem? { state.withLock { $0.problem } }

    private static func underWay(_ principal: Principal) -> StoreError {
        StoreError(.credentialsUnavailable, detail: "the credentials of \(principal) are being renewed")
    }

    private func askedAnew(_ refused: StoreCredentials) -> RenewalMachine.Answer? {
        let now = clock()
        let result = state.withLock { $0.machine.refused(refused, now: now) }
        if result?.fetches == true { fetch() }
        return result?.answer
    }

    private func ask(_ event: (inout RenewalMachine, Int64) -> (answer: RenewalMachine.Answer, fetches: Bool))
        -> RenewalMachine.Answer
    {
        let now = clock()
        let (answer, fetches) = state.withLock { event(&$0.machine, now) }
        if fetches { fetch() }
        return answer
    }

    private func fetch() {
        DispatchQueue.global().async { [self] in
            let now = clock()
            let result: Result<StoreCredentials?, CredentialsProblem>
            do throws(CredentialsProblem) {
                result = .success(try CredentialExchange(transport: transport, now: now).fetch(source))
            } catch {
                result = .failure(error)
            }
            let ended = clock()
            let draw = Double.random(in: 0..<1)
            let waiting = state.withLock { state in
                switch result {
                case .success(let credentials):
                    state.machine.fetched(credentials, now: ended, draw: draw)
                    state.problem = nil
                case .failure(let problem):
                    state.machine.failed(problem, now: ended, draw: draw)
                    state.problem = problem
                }
                defer { state.waiting = [] }
                return state.waiting
            }
            RenewalCounts.shared.count(source.principal.kind, result)
            for continuation in waiting { continuation.resume() }
        }
    }

    private func fetchEnded() async {
        await withCheckedContinuation { continuation in
            let isUnderWay = state.withLock { state in
                guard case .fetching = state.machine.phase else { return false }
                state.waiting.append(continuation)
                return true
            }
            if !isUnderWay { continuation.resume() }
        }
    }
}

extension RoleCredentials {
    private final class Weak: Sendable {
        // Read and written under the pool's lock alone.
        nonisolated(unsafe) weak var value: RoleCredentials?
        init(_ value: RoleCredentials) { self.value = value }
    }

    private static let pool = Mutex<[RoleSource: Weak]>([:])

    /// The one of this process for the source. It is forgotten, with its keys, when nobody holds it.
    package static func shared(_ source: RoleSource) -> RoleCredentials {
        pool.withLock { pool in
            if let known = pool[source]?.value { return known }
            pool = pool.filter { $0.value.value != nil }
            let made = RoleCredentials(source)
            pool[source] = Weak(made)
            return made
        }
    }

    /// Lets ``all`` show a role that is shared elsewhere.
    static func watch(_ role: RoleCredentials) {
        pool.withLock { pool in
            pool = pool.filter { $0.value.value != nil }
            pool[role.source] = Weak(role)
        }
    }

    /// Those that somebody reads as, in the order of their principals.
    package static var all: [RoleCredentials] {
        pool.withLock { $0.values.compactMap(\.value) }
            .sorted { $0.source.principal.description < $1.source.principal.description }
    }
}

/// How often credentials were fetched in this process, by the kind of their principal.
package final class RenewalCounts: Sendable {
    package struct Count: Sendable, Hashable {
        package var fetched: Int64 = 0
        /// The service said no.
        package var refused: Int64 = 0
        /// The service did not answer.
        package var unavailable: Int64 = 0
    }

    package static let shared = RenewalCounts()
    private let counts = Mutex<[Principal.Kind: Count]>([:])

    package var snapshot: [Principal.Kind: Count] { counts.withLock { $0 } }

    func count(_ kind: Principal.Kind, _ result: Result<StoreCredentials?, CredentialsProblem>) {
        counts.withLock { counts in
            switch result {
            case .success: counts[kind, default: Count()].fetched += 1
            case .failure(let problem) where problem.kind == .refused: counts[kind, default: Count()].refused += 1
            case .failure: counts[kind, default: Count()].unavailable += 1
            }
        }
    }
}
