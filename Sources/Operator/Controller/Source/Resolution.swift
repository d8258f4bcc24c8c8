/// The knowledge about a ModelCache's source that its status does not keep.
public struct Resolution: Sendable, Hashable {
    public enum Outcome: Sendable, Hashable {
        /// Not asked since this operator started.
        case unknown
        case resolved(ResolvedSource)
        case failed(SourceFailure)
    }

    /// A look at the source that waits or is under way.
    public struct Look: Sendable, Hashable {
        public var id: Int
        /// ``CacheSpec/resolutionSubject`` when it was asked for. Another one takes its place.
        public var subject: String
        /// Why it does not begin, in words.
        public var waiting: String?

        public init(id: Int, subject: String, waiting: String? = nil) {
            self.id = id
            self.subject = subject
            self.waiting = waiting
        }
    }

    /// Looks since ``finishedAt`` that failed in a way that may pass, so that the listing before them stands.
    public struct Missed: Sendable, Hashable {
        /// The last one's.
        public var failure: SourceFailure
        public var count: Int
        /// When the first and the last of them ended.
        public var since: WallTime
        public var at: WallTime

        /// A store that is away for a moment is no news.
        public var isTold: Bool { count >= 3 }

        /// When the source is looked at again: after 5 s, doubling to ``RetryInterval``.
        ///
        /// - Parameter isJob: each look is a Job.
        public func next(isJob: Bool) -> WallTime {
            let longest = isJob ? RetryInterval.job(since: since, now: at) : RetryInterval.first
            return at + min(longest, .seconds(5 << min(count - 1, 8)))
        }
    }

    public var outcome: Outcome
    /// ``CacheSpec/resolutionSubject`` of the outcome.
    public var subject: String
    /// `metadata.generation` of the ModelCache that the outcome is about: an edit begins the waits anew.
    public var generation: Int64
    /// When the outcome came.
    public var finishedAt: WallTime?
    /// When the first of those outcomes in a row came that are failures, or all the same listing.
    public private(set) var since: WallTime?
    /// Nil: none is under way.
    public var look: Look?
    /// How many failed in a row.
    public var failures: Int
    /// Nil: the last look brought ``outcome``.
    public private(set) var missed: Missed?
    /// The last difference between two listings that this operator has seen.
    public var change: SourceChange?

    public init(
        outcome: Outcome = .unknown, subject: String = "", generation: Int64 = 0, finishedAt: WallTime? = nil,
        look: Look? = nil, failures: Int = 0
    ) {
        self.outcome = outcome
        self.subject = subject
        self.generation = generation
        self.finishedAt = finishedAt
        self.look = look
        self.failures = failures
    }

    public var resolved: ResolvedSource? { if case .resolved(let source) = outcome { source } else { nil } }

    /// A look at the source has ended. A failure that may pass leaves a listing of the same source as it is.
    ///
    /// - Parameters:
    ///   - subject: ``CacheSpec/resolutionSubject`` when it was asked for; `generation` likewise.
    ///   - now: when it ended.
    public mutating func record(
        _ answer: Result<ResolvedSource, SourceFailure>, subject: String, generation: Int64, now: WallTime
    ) {
        if case .failure(let failure) = answer, failure.reason.mayPass, resolved != nil, self.subject == subject {
            missed = Missed(
                failure: failure, count: (missed?.count ?? 0) + 1, since: missed?.since ?? now, at: now)
            return
        }
        missed = nil
        let isSameSpec = self.subject == subject && self.generation == generation
        var isRepeated = false
        switch (outcome, answer) {
        case (.failed, .failure): isRepeated = isSameSpec
        case (.resolved(let former), .success(let source)):
            isRepeated = isSameSpec && former.digest == source.digest
            if let change = SourceChange(from: former, to: source) { self.change = change }
        default: break
        }
        since = isRepeated ? since ?? now : now
        switch answer {
        case .success(let source):
            outcome = .resolved(source)
            failures = 0
        case .failure(let failure):
            outcome = .failed(failure)
            failures = isSameSpec ? failures + 1 : 1
        }
        self.subject = subject
        self.generation = generation
        finishedAt = now
    }

    /// The wait after a failure: 5 s, doubling to ``wait(isJob:)``.
    ///
    /// - Parameter isJob: each look is a Job.
    public func backoff(isJob: Bool) -> Duration {
        min(wait(isJob: isJob), .seconds(5 << min(max(0, failures - 1), 8)))
    }

    /// The wait before a source is looked at again whose last listing is of no use.
    ///
    /// - Parameter isJob: each look is a Job.
    public func wait(isJob: Bool) -> Duration {
        guard isJob, let since, let finishedAt else { return RetryInterval.first }
        return RetryInterval.job(since: since, now: finishedAt)
    }
}

/// How often a source is listed again while that, or what its credentials are needed for, fails.
enum RetryInterval {
    /// A person who mends a source or a Secret looks at the outcome.
    static let first: Duration = .seconds(60)
    /// A Job and a pod a minute for ever would be 1,440 of each a day.
    private static let later: Duration = .seconds(900)
    private static let patience: Duration = .seconds(3600)

    /// Where each look is a Job.
    ///
    /// - Parameter since: when the trouble began.
    static func job(since: WallTime, now: WallTime) -> Duration { now - since < patience ? first : later }
}

/// The content of a source when it was listed.
public struct ResolvedSource: Sendable, Hashable {
    public var totalBytes: Int64
    public var files: Int
    /// ``SourceDigest`` in text.
    public var digest: String
    /// Nil for a source that is not read with a Secret.
    public var secret: SecretView?
    /// Keys that cannot be files, in one line; nil: none.
    public var leftOut: String?
    /// Objects that are there and cannot be read, in one line with the remedy; nil: none.
    public var unreadable: String?
    /// A hash of size and ETag by key below the prefix, to name what changed later. Empty where the listing is longer
    /// than a Job can tell.
    public var objects: [String: String]

    public init(
        totalBytes: Int64, files: Int, digest: String, secret: SecretView? = nil, leftOut: String? = nil,
        unreadable: String? = nil, objects: [String: String] = [:]
    ) {
        self.totalBytes = totalBytes
        self.files = files
        self.digest = digest
        self.secret = secret
        self.leftOut = leftOut
        self.unreadable = unreadable
        self.objects = objects
    }
}

/// Why a source could not be resolved: the condition's reason and its message with the remedy.
public struct SourceFailure: Error, Sendable, Hashable {
    /// The condition reasons of `SourceResolved=False`.
    public enum Reason: String, Sendable, Hashable, CaseIterable {
        case secretNotFound = "SecretNotFound"
        case secretInvalid = "SecretInvalid"
        case invalidSpec = "InvalidSpec"
        case sourceImmutable = "SourceImmutable"
        case mediumImmutable = "MediumImmutable"
        case accessDenied = "AccessDenied"
        case noSuchBucket = "NoSuchBucket"
        case sourceEmpty = "SourceEmpty"
        case endpointUnreachable = "EndpointUnreachable"
        case clockSkewed = "ClockSkewed"
        case objectsUnreadable = "ObjectsUnreadable"
        case storeError = "StoreError"
        case digestMismatch = "DigestMismatch"

        /// Whether the spec must be mended before anything new is done, though everything stays as it is meanwhile.
        public var isOfSpec: Bool {
            switch self {
            case .invalidSpec, .sourceImmutable, .mediumImmutable: true
            default: false
            }
        }

        /// Whether it may pass by itself, so that the phase is not `Failed` yet.
        public var mayPass: Bool {
            switch self {
            case .endpointUnreachable, .storeError: true
            default: false
            }
        }
    }

    public var reason: Reason
    public var message: String

    public init(_ reason: Reason, _ message: String) {
        self.reason = reason
        self.message = message
    }
}
