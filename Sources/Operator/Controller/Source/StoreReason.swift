internal import ObjectStore
internal import TextCoding

extension SourceFailure {
    /// The meaning of the store's error for the author of the ModelCache.
    init(_ error: StoreError) {
        let reason: Reason =
            switch error.kind {
            case .wrongKey, .wrongSecret, .accessDenied, .expiredToken, .credentialsRefused: .accessDenied
            case .unreadable: .objectsUnreadable
            case .noSuchBucket: .noSuchBucket
            case .noSuchKey: .sourceEmpty
            case .clockSkew: .clockSkewed
            case .nameResolution, .connectionRefused, .connectionLost, .tls, .connectTimeout, .stalled,
                .credentialsUnavailable:
                .endpointUnreachable
            case .settings: .invalidSpec
            case .wrongRegion, .objectChanged, .throttled, .server, .refused, .malformedAnswer, .sink, .cancelled:
                .storeError
            }
        self.init(reason, Words.line(SpecWords.named(error.description), limit: 700))
    }

    /// The Secret's name and entries are the author's own words.
    init(_ problem: MountedSecret.Problem) {
        let reason: Reason =
            switch problem.kind {
            case .notFound: .secretNotFound
            case .invalid: .secretInvalid
            }
        self.init(reason, Words.line("\(problem)", limit: 700))
    }

    init(_ error: SettingError) {
        self.init(.invalidSpec, Words.line(SpecWords.named(error.description), limit: 700))
    }
}
