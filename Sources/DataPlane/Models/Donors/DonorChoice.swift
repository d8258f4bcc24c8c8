package import ChunkStore

/// One cache of the node as the choice of donors sees it.
package struct CacheContents: Sendable {
    /// The callers who may read a cache's bytes, and those who may change its files.
    package enum Owner: Hashable, Sendable {
        /// Models that callers named at the agent's own socket.
        case agent
        /// ModelCaches: every pod of the namespace may mount their claims.
        case namespace(String)
    }

    package let owner: Owner
    package let identity: SourceIdentity
    package let files: [ManifestFile]
    /// Places of the files that are complete and equal to the store's checksum.
    package let verified: Set<Int>

    package init(owner: Owner, identity: SourceIdentity, files: [ManifestFile], verified: Set<Int>) {
        self.owner = owner
        self.identity = identity
        self.files = files
        self.verified = verified
    }
}

/// Decides which complete files of other caches are copied in the place of a fetch. A pure function of what the caches
/// hold.
///
/// A wrong choice has two victims. Readers of the cache that is filled could get bytes that they may not read, and
/// bytes that their own store never had. Anybody can make an object of a given CRC-64 and size, and a checksum is often
/// public where the bytes are not. So:
///
/// - The checksum that decides (`ObjectChecksums.deciding`) is the same on both sides. The filled file is verified by
///   it, so that a lie of the donor ends there, as far as the checksum can tell.
/// - Caches give to those of the same owner alone. Another owner's readers may not have the bytes. Its pods may have
///   changed them, CRC included, and readers of an arriving file see chunks before the complete file is verified.
/// - A checksum that is not collision resistant counts only together with the entity tag, size and bucket. A writer of
///   one prefix of a bucket cannot choose the tags that the store gives.
/// - SHA-256 counts within a namespace, whatever the stores. Not among callers of the agent's own socket, who may be
///   several users: a store of one's own can claim any checksum.
package enum DonorChoice {
    package struct Donor: Hashable, Sendable {
        /// Its place in the list of caches.
        package let cache: Int
        /// Of the file in that cache.
        package let file: Int
    }

    /// - Parameters:
    ///   - places: files of `own` that lack bytes.
    ///   - others: in the order of preference.
    /// - Returns: by the place in `own`; files without a donor are fetched.
    package static func donors(
        for places: some Sequence<Int>, of own: CacheContents, among others: [CacheContents]
    ) -> [Int: Donor] {
        // By what every donor needs: the owner and the checksum.
        var byChecksum: [ObjectChecksums.Deciding: [Donor]] = [:]
        for (cache, other) in others.enumerated() where other.owner == own.owner {
            for file in other.verified.sorted() {
                guard let checksum = other.files[file].checksums.deciding else { continue }
                byChecksum[checksum, default: []].append(Donor(cache: cache, file: file))
            }
        }
        var chosen: [Int: Donor] = [:]
        for place in places {
            let mine = own.files[place]
            // Without a checksum the store has described nothing, and nothing could be verified.
            guard mine.size > 0, let checksum = mine.checksums.deciding else { continue }
            // Alone it is enough for some.
            let isEnough = own.owner != .agent && checksum.isCollisionResistant
            chosen[place] = byChecksum[checksum]?.first {
                let other = others[$0.cache]
                let theirs = other.files[$0.file]
                return theirs.size == mine.size
                    && (isEnough || isOneObject(mine, own.identity, theirs, other.identity))
            }
        }
        return chosen
    }

    /// Whether one store made the same tag for both.
    private static func isOneObject(
        _ mine: ManifestFile, _ here: SourceIdentity, _ theirs: ManifestFile, _ there: SourceIdentity
    ) -> Bool {
        here.endpoint == there.endpoint && here.bucket == there.bucket && !mine.etag.isEmpty
            && mine.etag == theirs.etag
    }
}
