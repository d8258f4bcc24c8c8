internal import AgentAPI
internal import ChunkStore
internal import ObjectStore

/// The rule of ``CacheDefinition/Source/digest``: a node fetches no byte of a listing that its ModelCache excludes,
/// whoever opens the cache. A copy that is there stays.
package enum PinnedListing {
    /// - Parameters:
    ///   - digest: of the listing that the store shows, in text.
    ///   - pinned: the only one that is allowed; nil: any.
    /// - Throws: ``AgentFailure`` with the reason `DigestMismatch`.
    package static func check(_ digest: @autoclosure () -> String, pinned: String?) throws(AgentFailure) {
        guard let pinned else { return }
        let digest = digest()
        guard digest != pinned else { return }
        throw AgentFailure(
            .settings,
            "the source has the digest \(digest), and spec.source.digest of the ModelCache allows \(pinned) alone; "
                + "put the objects back, or change spec.source.digest",
            reason: .digestMismatch)
    }
}

extension SourceRequest {
    /// Before anything is evicted or fetched for the listing.
    func checkPin(_ listing: Listing) throws(AgentFailure) {
        try PinnedListing.check(SourceDigest(of: listing.manifest).description, pinned: query.digest)
    }
}

extension SourceDigest {
    /// Of the listing that a manifest was begun with.
    init(of manifest: Manifest) {
        self.init(
            of: manifest.files.map { SourceDigest.Entry(relativeKey: $0.key, size: $0.size, etag: $0.etag) })
    }
}
