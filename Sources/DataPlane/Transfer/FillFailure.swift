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
}
