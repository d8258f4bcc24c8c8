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

    public var outcome: Outcome
    /// ``CacheSpec/resolutionSubject`` of the outcome.
    public var subject: String
    /// When the outcome came.
    public var finishedAt: WallTime?
    /// Nil: none is under way.
    public var look: Look?
    /// How many failed in a row.
    public var failures: Int
    /// The last difference between two listings that this operator has seen.
    public var change: SourceChange?

    public init(
        outcome: Outcome = .unknown, subject: String = "", finishedAt: WallTime? = nil, look: Look? = nil,
        failures: Int = 0
    ) {
        self.outcome = outcome
        self.subject = subject
        self.finishedAt = finishedAt
        self.look = look
        self.failures = failures
    }

    /// The wait after a failure: 5 s, doubling to 60 s.
    public var backoff: Duration { .seconds(min(60, 5 << min(max(0, failures - 1), 4))) }

    public var resolved: ResolvedSource? { if case .resolved(let source) = outcome { source } else { nil } }
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
