/// The changes that a new listing of the source makes to a cache's files. The unit is the file: key, size and ETag.
public struct SetChange: Hashable, Sendable {
    /// Keys that the cache did not have.
    public var added: [String]
    /// Keys whose size and ETag stand: chunks, readers and names stay.
    public var kept: [String]
    /// Keys that are another version now.
    public var replaced: [String]
    /// Keys that are gone at the source.
    public var retired: [String]

    public init(added: [String] = [], kept: [String] = [], replaced: [String] = [], retired: [String] = []) {
        self.added = added
        self.kept = kept
        self.replaced = replaced
        self.retired = retired
    }

    /// The listing says what the cache has already.
    public var isEmpty: Bool { added.isEmpty && replaced.isEmpty && retired.isEmpty }

    /// Keys whose bytes are to be fetched: of these alone digests need to be asked for.
    public var fetched: [String] { added + replaced }
}

extension Manifest {
    /// The most keys of files that went; beyond it every key that comes is taken for one that was here before.
    static let maximumRetired = 4096

    /// The changes that ``updated(to:)`` would make.
    public func change(to listing: Manifest) -> SetChange { sorted(listing).change }

    /// This cache's next manifest: files that stand keep their numbers and what is known of their checksums, the others
    /// get new numbers. The chunk size stays, so that chunks stand. Unchanged, with the set's number, when `listing`
    /// brings nothing new.
    ///
    /// - Parameter listing: of the same source.
    /// - Returns: the manifest and what changed.
    /// Errors: `.corrupt` when the sizes add up to more than a file offset can hold.
    func updated(to listing: Manifest) throws(ChunkStoreError) -> (manifest: Manifest, change: SetChange) {
        let (files, change) = sorted(listing)
        if change.isEmpty { return (self, change) }
        var next = nextIndex
        var numbered: [ManifestFile] = []
        for var file in files {
            if file.index == .max {
                file.index = next
                next += 1
            }
            numbered.append(file)
        }
        let here = Set(files.map(\.key))
        var gone = retired.filter { !here.contains($0) } + change.retired
        let forgets = forgotRetired || gone.count > Manifest.maximumRetired
        // The latest stay: their names may still have to be cleared after a crash.
        gone = Array(gone.suffix(max(Manifest.maximumRetired, change.retired.count)))
        let manifest = try Manifest(
            identity: identity, numbered: numbered, chunkBytes: chunkBytes, scheme: listing.scheme ?? scheme,
            set: set + 1,
            nextIndex: next, retired: gone, forgotRetired: forgets)
        return (manifest, change)
    }

    /// The files of the next manifest, those that are new with the index `.max`.
    private func sorted(_ listing: Manifest) -> (files: [ManifestFile], change: SetChange) {
        precondition(listing.identity == identity, "a listing of another source")
        let own = Dictionary(uniqueKeysWithValues: files.map { ($0.key, $0) })
        let wereHere = Set(retired)
        var change = SetChange()
        var next: [ManifestFile] = []
        for var file in listing.files {
            file.index = .max
            file.replacedInSet = 0
            if let known = own[file.key], known.size == file.size, known.etag == file.etag {
                file.index = known.index
                file.replacedInSet = known.replacedInSet
                var checksums = known.checksums
                checksums.merge(file.checksums)
                file.checksums = checksums
                change.kept.append(file.key)
            } else if own[file.key] != nil {
                file.replacedInSet = set + 1
                change.replaced.append(file.key)
            } else {
                // A process may have read an earlier version of a key that went and comes back.
                if forgotRetired || wereHere.contains(file.key) { file.replacedInSet = set + 1 }
                change.added.append(file.key)
            }
            next.append(file)
        }
        let listed = Set(listing.files.map(\.key))
        change.retired = files.map(\.key).filter { !listed.contains($0) }
        return (next, change)
    }
}
