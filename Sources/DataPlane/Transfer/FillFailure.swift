public import ChunkStore
public import ObjectStore

/// The failure that ended a fill before every file was complete.
public enum FillFailure: Sendable, Hashable {
    /// The store's last answer.
    case store(StoreError.Kind)
    /// The cache refused the bytes: a full medium, a broken disk.
    case cache(ChunkStoreError)
    /// Nothing came for `FillLimits.storeDeadline`.
    case noBytes
    /// A file's bytes did not have the store's digest, twice.
    case wrongContent

    /// Whether bytes did not come, which another cache of the node may have.
    var isLackOfBytes: Bool {
        switch self {
        case .store, .noBytes: true
        case .cache, .wrongContent: false
        }
    }

    /// Whether it is one file's own, so that a new fill would meet it again: an object that the store does not give, a
    /// name that something else has. One that was replaced is none: a new listing mends that.
    var isFilesOwn: Bool {
        switch self {
        case .store(.unreadable), .store(.accessDenied), .store(.refused), .store(.noSuchKey), .wrongContent,
            .cache(.nameTaken):
            true
        case .store, .cache, .noBytes: false
        }
    }
}
