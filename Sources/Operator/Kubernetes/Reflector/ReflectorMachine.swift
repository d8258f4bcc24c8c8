/// Decides a reflector's next step: list, watch from the list's version, resume after the end of a watch that lasted,
/// and list anew whenever the server may be another one than before. A pure value: events in, actions out.
///
/// ```
///             .start                  .listed(version)
///   idle ────────────────▶ listing ────────────────────▶ watching ◀──┐ resume after the time-out or 429,
///                           ▲   │                         │  │   └────┘ and after a cut until a list is due
///                           │   │ failure   cut and due,  │  │
///                           │   ▼      any other failure  │  │ 410, bad event, idle, version went back
///                           ├─ waiting ◀──────────────────┘  │
///                           └────────────────────────────────┘
/// ```
///
/// The rules follow client-go's (`tools/cache/reflector.go`) and
/// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes, and are stricter in
/// three cases. After a restore of etcd the server's versions are smaller than ours, and it sends no event until they
/// have caught up (https://github.com/etcd-io/etcd/issues/15155). A restore restarts the API server, so a list follows
/// a reconnection that fails, and a watch that ended before the time-out it asked for: a *cut*. A watch without an
/// event or a bookmark for the idle timeout ends in a list too: a firewall may have dropped the connection, or the
/// server is behind our version.
///
/// A proxy may cut every watch early. So lists after cuts keep a distance, which doubles until a watch reaches its
/// time-out (``ReflectorOptions/listAfterCut``). Before the list is due the watch resumes, for no longer than until
/// then: events are never late, and a history that was replaced shows by then.
public struct ReflectorMachine: Sendable {
    /// The reflector's state.
    public enum State: Sendable, Hashable {
        case idle
        /// The store keeps its former content until the list is complete.
        case listing
        /// Waits for events after `version`.
        case watching(version: String)
        /// A pause after a failure, then `next`.
        case waiting(next: Next)
    }

    /// The step after a pause.
    public enum Next: Sendable, Hashable {
        case list
        case watch(version: String)
    }

    /// Why a list or a watch failed.
    public enum Failure: Sendable, Hashable {
        /// 410, as an HTTP status or in an ERROR event: the server no longer has the version.
        case gone
        /// The server has not reached the version yet: it was restored, or lags behind another server.
        case tooLargeResourceVersion(retryAfter: Duration?)
        /// 429: come back later.
        case tooManyRequests(retryAfter: Duration?)
        /// An event could not be decoded, so its change is not known.
        case malformed
        /// Any other failure: no connection, 5xx, no permission, a kind that does not exist yet.
        case other
    }

    public enum Event: Sendable, Hashable {
        case start
        case listed(version: String)
        case listFailed(Failure)
        /// An event or a bookmark has arrived and is applied.
        case received(version: String)
        /// The server ended the watch, or the connection broke, after the server had accepted the watch.
        case watchEnded(lasted: Duration)
        case watchFailed(Failure)
        /// Nothing arrived for the idle timeout.
        case watchIdle
        /// The watch sent a version for which ``precedes(_:)`` is true.
        case versionWentBack
        case waited
    }

    public enum Action: Sendable, Hashable {
        /// List all objects and replace the store's content.
        case list
        case watch(version: String, timeout: Duration)
        case wait(Duration)
        /// Continue with the running step.
        case proceed
    }

    public private(set) var state: State = .idle
    /// Failures in a row; each makes the next pause longer.
    public private(set) var failures = 0
    /// The time-out that the running watch asked for.
    private var askedTimeout = Duration.zero
    /// Watched and paused since the last list.
    private var sinceList = Duration.zero
    /// A watch was cut since the last list, so the server may be another one than before.
    private var wasCut = false
    /// Lists because of a cut, since a watch last reached its time-out.
    private var listsAfterCuts = 0
    private let options: ReflectorOptions

    public init(options: ReflectorOptions = ReflectorOptions()) {
        self.options = options
    }

    /// - Parameter random: 0..<1, for jitter.
    public mutating func handle(_ event: Event, random: Double) -> Action {
        switch (event, state) {
        case (.start, _):
            state = .listing
            return .list

        case (.listed(let version), .listing):
            // `failures` stays: a server whose lists succeed and whose watches always end at once with 410 would
            // otherwise be listed without a pause.
            (sinceList, wasCut) = (.zero, false)
            return watch(version, random)

        case (.listFailed(let failure), .listing):
            return wait(.list, failure, random)

        case (.received(let version), .watching(let known)):
            failures = 0
            // A version is opaque, and a watch cannot resume from an empty one.
            state = .watching(version: version.isEmpty ? known : version)
            return .proceed

        case (.watchEnded(let lasted), .watching(let version)):
            return watchEnded(lasted, version, random)

        case (.watchIdle, .watching), (.versionWentBack, .watching):
            return listAnew(.other, random)

        case (.watchFailed(let failure), .watching(let version)):
            return watchFailed(failure, version, random)

        case (.waited, .waiting(.list)):
            state = .listing
            return .list

        case (.waited, .waiting(.watch(let version))):
            return watch(version, random)

        default:
            // An event of a watch that has been given up.
            return .proceed
        }
    }

    private mutating func watchEnded(_ lasted: Duration, _ version: String, _ random: Double) -> Action {
        sinceList += lasted
        // The server takes whole seconds.
        let reachedTimeout = lasted + .seconds(1) >= askedTimeout
        if !reachedTimeout { wasCut = true }
        if !wasCut { listsAfterCuts = 0 }
        let isDue = wasCut && sinceList >= distanceOfLists
        if isDue { listsAfterCuts += 1 }
        guard lasted >= options.shortestWatch else {
            return wait(isDue ? .list : .watch(version: version), .other, random)
        }
        failures = 0
        guard isDue else { return watch(version, random) }
        // The restart of a server cuts the watches of all its clients at once.
        state = .waiting(next: .list)
        return .wait(options.initialBackoff * random)
    }

    private var distanceOfLists: Duration {
        var distance = options.listAfterCut.lowerBound
        for _ in 0..<min(listsAfterCuts, 32) where distance < options.listAfterCut.upperBound { distance *= 2 }
        return min(distance, options.listAfterCut.upperBound)
    }

    private mutating func watchFailed(_ failure: Failure, _ version: String, _ random: Double) -> Action {
        switch failure {
        case .gone, .malformed:
            return listAnew(failure, random)
        case .tooManyRequests:
            // The server runs and has more to do than it can: a list would add to it.
            return wait(.watch(version: version), failure, random)
        case .tooLargeResourceVersion, .other:
            return wait(.list, failure, random)
        }
    }

    /// Without a pause the first time: that a version expired is no fault of the server.
    private mutating func listAnew(_ failure: Failure, _ random: Double) -> Action {
        guard failures == 0 else { return wait(.list, failure, random) }
        failures += 1
        state = .listing
        return .list
    }

    /// Whether `version` is older than what the running watch has sent. A watch sends its events in order, so this
    /// means that the server's history was replaced. Versions of two watches are never compared: a list may rightly
    /// tell a smaller one. Versions that are no decimal numbers precede nothing.
    public func precedes(_ version: String) -> Bool {
        guard case .watching(let known) = state, let before = UInt64(known), let now = UInt64(version) else {
            return false
        }
        return now < before
    }

    private mutating func watch(_ version: String, _ random: Double) -> Action {
        state = .watching(version: version)
        let range = options.watchTimeout
        askedTimeout = range.lowerBound + (range.upperBound - range.lowerBound) * random
        if wasCut {
            let seconds = (distanceOfLists - sinceList).components.seconds + 1
            askedTimeout = min(askedTimeout, max(.seconds(seconds), .seconds(2)))
        }
        return .watch(version: version, timeout: askedTimeout)
    }

    private mutating func wait(_ next: Next, _ failure: Failure, _ random: Double) -> Action {
        failures += 1
        state = .waiting(next: next)
        var pause = Backoff(initial: options.initialBackoff, maximum: options.maximumBackoff)
            .pause(afterFailures: failures, random: random)
        switch failure {
        case .tooManyRequests(let asked?), .tooLargeResourceVersion(let asked?):
            pause = max(pause, Backoff.pause(retryAfter: asked, random: random))
        default: break
        }
        sinceList += pause
        return .wait(pause)
    }
}

extension ReflectorMachine.Failure {
    /// - Parameter error: the error of a list or a watch.
    public init(_ error: any Error) {
        guard let error = error as? KubernetesError else {
            self = .other
            return
        }
        if error.isGone {
            self = .gone
        } else if error.isTooLargeResourceVersion {
            self = .tooLargeResourceVersion(retryAfter: error.retryAfter)
        } else if error.isTooManyRequests {
            self = .tooManyRequests(retryAfter: error.retryAfter)
        } else if case .undecodable = error.cause {
            self = .malformed
        } else if case .tooLarge = error.cause {
            self = .malformed
        } else {
            self = .other
        }
    }
}
