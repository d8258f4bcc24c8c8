package import ObjectStore

/// How a store's error bears on what is fetched.
package enum FetchFault: Sendable, Hashable {
    /// Nothing but another request, object or setting helps: the file fails at once.
    case lostFile
    /// As `lostFile`, for every object of the source: keys, region, bucket.
    case lostSource
    /// The exchange failed; the next may succeed. Bounded by ``RetryLedger/objectBudget``.
    case broken
    /// The exchange went well, and its answer is not what was asked for: 200 for a range, another range, no HTTP.
    /// Another gateway of the store may do better; bounded by ``RetryLedger/wrongAnswerBudget``.
    case wrongAnswer
    /// The store cannot be reached, or asks us to wait. Bounded by `FillLimits.storeDeadline`.
    case unavailable

    package init(_ error: StoreError) {
        switch error.kind {
        case .objectChanged, .noSuchKey, .accessDenied, .refused, .unreadable: self = .lostFile
        case .throttled, .nameResolution, .connectionRefused, .connectTimeout, .credentialsUnavailable:
            self = .unavailable
        case .malformedAnswer: self = .wrongAnswer
        // Another caller's engine went away, or the sink had a bad moment: the next exchange has another.
        case .cancelled, .sink: self = .broken
        default: self = error.isRetryable ? .broken : .lostSource
        }
    }
}

/// How often and for how long each unit (a chunk, a block) may fail without new bytes. A pure value.
///
/// Problem: a budget that ends with a transfer is no budget. A transfer that is begun anew, on another connection or
/// after a pause, starts at the unit's first byte; bytes that come again are not progress. So the ledger belongs to
/// the unit and remembers how far it ever came.
///
/// A unit's record ends when it was received, or when it came ``progressBytes`` further than before.
package struct RetryLedger<Unit: Hashable & Sendable>: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// A unit that every exchange breaks off is given up within a minute.
    package static var objectBudget: Duration { .seconds(50) }
    /// A server or proxy that answers wrongly rarely changes: about nine attempts.
    package static var wrongAnswerBudget: Duration { .seconds(8) }
    /// Fewer new bytes are no progress: a unit of 16 MiB would take a thousand exchanges.
    package static var progressBytes: UInt64 { 16 << 10 }

    /// Attempts that a unit has in any case: the first failure may be long ago, before another node tried.
    static var leastAttempts: Int { 4 }

    private struct Record {
        var attempts = 0
        var since: Instant
        /// How far it ever came, and where the record began; offsets in the file.
        var farthest: UInt64
        var begin: UInt64
    }

    package enum Verdict: Sendable, Hashable {
        case retry(after: Duration)
        /// The budget is spent, after so many attempts in such a time.
        case exhausted(attempts: Int, elapsed: Duration)

        /// For people.
        package var text: String {
            switch self {
            case .retry(let delay): "trying again in \(delay.components.seconds) s"
            case .exhausted(let attempts, let elapsed):
                "no new byte in \(attempts) attempts and \(elapsed.components.seconds) s"
            }
        }
    }

    private var records: [Unit: Record] = [:]
    private let storeBudget: Duration

    /// - Parameter storeBudget: how long a store that is away is waited for.
    package init(storeBudget: Duration) { self.storeBudget = storeBudget }

    /// An exchange failed with its unit at `position`.
    ///
    /// - Parameters:
    ///   - fault: the unit's last; not one that ends the file.
    ///   - asked: how long the store asks us to wait.
    ///   - draw: a uniform number in 0..<1.
    package mutating func failed(
        _ unit: Unit, position: UInt64, fault: FetchFault, asked: Duration?, now: Instant, draw: Double
    ) -> Verdict {
        precondition(fault != .lostFile && fault != .lostSource, "a fault that ends the file is not retried")
        precondition((0..<1).contains(draw), "a draw is a uniform number in 0..<1")
        var record = records[unit] ?? Record(since: now, farthest: position, begin: position)
        record.farthest = max(record.farthest, position)
        if record.farthest >= record.begin + Self.progressBytes {
            record = Record(since: now, farthest: record.farthest, begin: record.farthest)
        }
        record.attempts += 1
        records[unit] = record
        let policy = RetryPolicy(
            maximumAttempts: .max, baseDelay: .milliseconds(50), maximumDelay: .seconds(5), deadline: nil)
        let budget =
            switch fault {
            case .unavailable: storeBudget
            case .wrongAnswer: Self.wrongAnswerBudget
            case .broken, .lostFile, .lostSource: Self.objectBudget
            }
        let elapsed = record.since.duration(to: now)
        let delay = policy.delay(
            afterFailedAttempts: record.attempts, elapsed: elapsed, isRetryable: true, retryAfter: asked, draw: draw)
        guard let delay, asked ?? .zero < budget, elapsed + delay < budget || record.attempts < Self.leastAttempts
        else {
            return .exhausted(attempts: record.attempts, elapsed: elapsed)
        }
        return .retry(after: delay)
    }

    /// An exchange with another source failed at `position`: no attempt at the store, but its bytes are not new any
    /// more.
    package mutating func came(_ unit: Unit, to position: UInt64, now: Instant) {
        var record = records[unit] ?? Record(since: now, farthest: position, begin: position)
        record.farthest = max(record.farthest, position)
        records[unit] = record
    }

    /// Whether bytes at `position` are further than the unit ever came.
    package func isNew(_ unit: Unit, position: UInt64) -> Bool { records[unit].map { position > $0.farthest } ?? true }

    package mutating func received(_ unit: Unit) { records[unit] = nil }

    package var isEmpty: Bool { records.isEmpty }
}
