internal import ObjectStore

extension SourceFailure {
    /// What the store's error means to whoever wrote the ModelCache.
    init(_ error: StoreError) {
        let reason: Reason = switch error.kind {
        case .wrongKey, .wrongSecret, .accessDenied, .expiredToken: .accessDenied
        case .noSuchBucket: .noSuchBucket
        case .noSuchKey: .sourceEmpty
        case .clockSkew: .clockSkewed
        case .nameResolution, .connectionRefused, .connectionLost, .tls, .connectTimeout, .stalled: .endpointUnreachable
        case .settings: .invalidSpec
        case .wrongRegion, .objectChanged, .throttled, .server, .refused, .malformedAnswer, .sink, .cancelled: .storeError
        }
        self.init(reason, Words.line(error.description, limit: 700))
    }

    init(_ error: SettingError) {
        self.init(.invalidSpec, Words.line(error.description, limit: 700))
    }
}
