/// What is known of a ModelCache's source, apart from what its status keeps.
public struct Resolution: Sendable, Hashable {
    public enum Outcome: Sendable, Hashable {
        /// Not asked since this operator started.
        case unknown
        case resolved(ResolvedSource)
        case failed(SourceFailure)
    }

    public var outcome: Outcome
    /// ``CacheSpec/sourceHash`` and Secret name it was for.
    public var subject: String
    /// When the outcome came.
    public var finishedAt: WallTime?
    /// A look is under way.
    public var isRunning: Bool
    /// How many failed in a row.
    public var failures: Int

    public init(
        outcome: Outcome = .unknown, subject: String = "", finishedAt: WallTime? = nil, isRunning: Bool = false, failures: Int = 0
    ) {
        self.outcome = outcome
        self.subject = subject
        self.finishedAt = finishedAt
        self.isRunning = isRunning
        self.failures = failures
    }

    /// The wait after a failure: 5 s, doubling to 60 s.
    public var backoff: Duration { .seconds(min(60, 5 << min(max(0, failures - 1), 4))) }

    public var resolved: ResolvedSource? { if case .resolved(let source) = outcome { source } else { nil } }
}

/// What a source held when it was listed.
public struct ResolvedSource: Sendable, Hashable {
    public var totalBytes: Int64
    public var files: Int
    /// ``SourceDigest`` in text.
    public var digest: String
    /// Nil for a public source.
    public var secret: SecretView?

    public init(totalBytes: Int64, files: Int, digest: String, secret: SecretView? = nil) {
        self.totalBytes = totalBytes
        self.files = files
        self.digest = digest
        self.secret = secret
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
        case storeError = "StoreError"

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
