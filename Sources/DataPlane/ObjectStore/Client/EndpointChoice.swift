import Synchronization

/// Which of two endpoints serves a bucket: the named one, or its fallback while that one is away. A pure value.
///
/// While it is away one request a minute tries the named one, and the others go to the fallback.
package struct EndpointChoice: Sendable {
    package enum Side: Sendable, Hashable {
        case named
        case fallback
    }

    private enum State: Sendable {
        case named
        /// The fallback serves for the reason; at `next` a request tries the named one. `isTried`: one does.
        case away(next: ContinuousClock.Instant, isTried: Bool, reason: String)
    }
    private var state = State.named

    package init() {}

    /// How long before the named endpoint is tried again.
    static let pause: Duration = .seconds(60)

    /// The endpoint for the next request.
    package mutating func next(now: ContinuousClock.Instant) -> Side {
        switch state {
        case .named: return .named
        case .away(let next, _, let reason) where now >= next:
            state = .away(next: now + Self.pause, isTried: true, reason: reason)
            return .named
        case .away: return .fallback
        }
    }

    /// The named endpoint does not serve the bucket. Returns whether that is news.
    package mutating func failed(_ reason: String, now: ContinuousClock.Instant) -> Bool {
        let isNews = if case .named = state { true } else { false }
        state = .away(next: now + Self.pause, isTried: false, reason: reason)
        return isNews
    }

    /// The named endpoint answered. Returns whether that is news.
    package mutating func answered() -> Bool {
        // A request from before the failure says nothing new.
        guard case .away(_, isTried: true, _) = state else { return false }
        state = .named
        return true
    }

    /// Why the fallback serves; nil: it does not.
    package var reason: String? {
        if case .away(_, _, let reason) = state { reason } else { nil }
    }
}

/// Whether a bucket is read from its endpoint's fallback, for as long as that lasts.
public final class EndpointDetour: Sendable {
    private let choice = Mutex(EndpointChoice())
    let named: StoreEndpoint
    let fallback: StoreEndpoint

    private static let shared = Mutex<[String: EndpointDetour]>([:])
    private static let mostKept = 256

    private init(named: StoreEndpoint, fallback: StoreEndpoint) {
        self.named = named
        self.fallback = fallback
    }

    /// One for all clients of the process that read the bucket there; nil: the endpoint has no fallback.
    static func of(_ configuration: StoreConfiguration) -> EndpointDetour? {
        guard let fallback = configuration.endpoint.fallback else { return nil }
        return shared.withLock { all in
            let key = "\(configuration.endpoint.canonical)/\(configuration.location.bucket)"
            if let known = all[key] { return known }
            if all.count >= mostKept { all = [:] }
            let made = EndpointDetour(named: configuration.endpoint, fallback: fallback)
            all[key] = made
            return made
        }
    }

    /// One line while the fallback serves: which endpoint, why, and which in its place.
    public var warning: String? {
        choice.withLock { $0.reason }.map { "\(named) is away, \(fallback) is read in its place: \($0)" }
    }

    func next() -> StoreEndpoint {
        switch choice.withLock({ $0.next(now: .now) }) {
        case .named: named
        case .fallback: fallback
        }
    }

    /// Returns whether another try goes to the fallback because the named endpoint does not serve the bucket.
    func judge(_ error: StoreError, of endpoint: StoreEndpoint, notice: (String) -> Void) -> Bool {
        guard endpoint == named, error.kind != .cancelled else { return false }
        guard Self.meansAway(error) else {
            answered(endpoint, notice: notice)
            return false
        }
        if choice.withLock({ $0.failed("\(error)", now: .now) }), let warning { notice(warning) }
        return true
    }

    func answered(_ endpoint: StoreEndpoint, notice: (String) -> Void) {
        guard endpoint == named, choice.withLock({ $0.answered() }) else { return }
        notice("\(named) is read again")
    }

    /// No request got there, a gateway says so, or the bucket is not served there.
    private static func meansAway(_ error: StoreError) -> Bool {
        if error.isBeforeRequest { return true }
        switch error.kind {
        case .noSuchBucket, .wrongRegion: return true
        case .server, .throttled: return (502...504).contains(error.status ?? 0) && error.requestID == nil
        case .refused: return error.code == "NotImplemented" || error.code == "MethodNotAllowed"
        default: return false
        }
    }
}
