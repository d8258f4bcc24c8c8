/// What a reflector does next: list, then watch from the list's version, resume after a cut, list anew when the
/// server no longer has the version or the two have lost each other. A pure value: events in, actions out.
///
/// ```
///             .start                  .listed(version)
///   idle ────────────────▶ listing ────────────────────▶ watching ◀───────┐
///                           ▲   │                         │  │  │         │ resume after a cut,
///                           │   │ failure      410, bad   │  │  └─────────┘ a time-out or one idle time
///                           │   ▼              event      │  ▼
///                           └─ waiting ◀──────────────────┘ waiting ──▶ watching
/// ```
///
/// The rules are client-go's (`tools/cache/reflector.go`) and
/// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes, with an idle timeout
/// besides: a connection that a firewall forgot otherwise looks like a quiet cluster for ever.
public struct ReflectorMachine: Sendable {
    /// Where the reflector is.
    public enum State: Sendable, Hashable {
        case idle
        /// Until then the store holds what it held.
        case listing
        /// Events after `version` are awaited.
        case watching(version: String)
        /// After a failure; then as `next` says.
        case waiting(next: Next)
    }

    /// What follows a pause.
    public enum Next: Sendable, Hashable {
        case list
        case watch(version: String)
    }

    /// Why a list or a watch failed.
    public enum Failure: Sendable, Hashable {
        /// 410, as an HTTP status or in an ERROR event: the version is no longer kept.
        case gone
        /// The server has not reached the version yet.
        case tooLargeResourceVersion(retryAfter: Duration?)
        /// 429: come back later.
        case tooManyRequests(retryAfter: Duration?)
        /// An event could not be understood: what it changed is not known.
        case malformed
        /// Anything else: no connection, 5xx, no permission, a kind that is not there yet.
        case other
    }

    public enum Event: Sendable, Hashable {
        case start
        case listed(version: String)
        case listFailed(Failure)
        /// An event or a bookmark has arrived and is applied.
        case received(version: String)
        /// The server ended the watch, or the connection broke.
        case watchEnded(lasted: Duration)
        case watchFailed(Failure)
        /// Nothing arrived for the idle timeout.
        case watchIdle
        case waited
    }

    public enum Action: Sendable, Hashable {
        /// List everything, replace the store's content with it.
        case list
        case watch(version: String, timeout: Duration)
        case wait(Duration)
        /// Go on with what is under way.
        case proceed
    }

    public private(set) var state: State = .idle
    /// In a row; each makes the next pause longer.
    public private(set) var failures = 0
    private var tooLarge = 0
    private var idleTimes = 0
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
            // Not a reset of `failures`: a server whose lists work and whose watches always end at once with 410
            // would be listed without a pause.
            return watch(version, random)

        case (.listFailed(let failure), .listing):
            return wait(.list, failure, random)

        case (.received(let version), .watching(let known)):
            failures = 0
            tooLarge = 0
            idleTimes = 0
            // A version is opaque, and an empty one could not be resumed from.
            state = .watching(version: version.isEmpty ? known : version)
            return .proceed

        case (.watchEnded(let lasted), .watching(let version)):
            guard lasted < options.shortestWatch else {
                failures = 0
                return watch(version, random)
            }
            return wait(.watch(version: version), .other, random)

        case (.watchIdle, .watching(let version)):
            idleTimes += 1
            // Once: the connection died. Twice, though a new one was made: the server may hold an older state than
            // the version says (restored from a backup) and would stay silent for long.
            guard idleTimes < 2 else {
                idleTimes = 0
                state = .listing
                return .list
            }
            return watch(version, random)

        case (.watchFailed(let failure), .watching(let version)):
            switch failure {
            case .gone, .malformed:
                // The first time at once: a version that aged is no fault of the server.
                guard failures > 0 else {
                    failures += 1
                    state = .listing
                    return .list
                }
                return wait(.list, failure, random)
            case .tooLargeResourceVersion:
                tooLarge += 1
                guard tooLarge < options.tooLargeVersionAttempts else {
                    tooLarge = 0
                    return wait(.list, failure, random)
                }
                return wait(.watch(version: version), failure, random)
            case .tooManyRequests, .other:
                return wait(.watch(version: version), failure, random)
            }

        case (.waited, .waiting(.list)):
            state = .listing
            return .list

        case (.waited, .waiting(.watch(let version))):
            return watch(version, random)

        default:
            // An event of a watch that was given up meanwhile.
            return .proceed
        }
    }

    private mutating func watch(_ version: String, _ random: Double) -> Action {
        state = .watching(version: version)
        let range = options.watchTimeout
        return .watch(version: version, timeout: range.lowerBound + (range.upperBound - range.lowerBound) * random)
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
        return .wait(pause)
    }
}

extension ReflectorMachine.Failure {
    /// - Parameter error: what a list or a watch threw.
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
