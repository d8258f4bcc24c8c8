internal import Glibc
internal import LinuxShim

/// Where an update stands; each case is what lies on the medium when it is reached. A crash before `.described` leaves
/// the former set, one from there on the new one.
package enum UpdateStep: String, CaseIterable, Sendable {
    /// The new files are made aside.
    case staged
    /// The new manifest has its name.
    case described
    /// The names of files that are not of the new set are gone.
    case cleared
    /// The new files have their names.
    case placed
}

extension CachedModel {
    /// Makes the cache's files those of `listing`: files that stand keep inode, chunks, readers and name; new ones are
    /// added empty; those that were replaced or are gone at the source lose their names. Of these an incomplete one
    /// fails with a message that names it, and a complete one stays readable through the descriptors that are open.
    ///
    /// Nothing happens when the listing says what the cache has. No fill may run on the model: stop it before, and
    /// begin a new one on ``current`` after. Whether there is memory for the new files is the caller's business; the
    /// limit of a mount of its own grows as needed. Blocking: writes small files.
    ///
    /// - Parameter listing: of the same source; checksums are needed for ``SetChange/fetched`` alone
    ///   (``Manifest/change(to:)``).
    /// Errors: `.io`, `.mediumFull`. Thrown before the new manifest stands, the model goes on with the former set.
    /// Thrown after, the model is closed (``isClosed``): take it up anew, by `CacheDirectory.open` or
    /// `CacheVolume.open`.
    @discardableResult
    public func update(to listing: Manifest) throws(ChunkStoreError) -> SetChange {
        try update(to: listing) { _ in }
    }

    /// `reached` is for tests: called at each step.
    package func update(to listing: Manifest, reached: (UpdateStep) -> Void) throws(ChunkStoreError) -> SetChange {
        let result: Result<SetChange, ChunkStoreError> = updating.withLock { _ in
            do throws(ChunkStoreError) { return .success(try updateLocked(to: listing, reached)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func updateLocked(to listing: Manifest, _ reached: (UpdateStep) -> Void) throws(ChunkStoreError)
        -> SetChange
    {
        let former = current
        let (manifest, change) = try former.manifest.updated(to: listing)
        if change.isEmpty { return change }
        if isMount {
            try ModelMount.grow(
                directory, to: ModelMount.neededBytes(former.manifest) + ModelMount.neededBytes(manifest),
                by: mounts)
        }
        let next = try stage(manifest, former)
        reached(.staged)
        do throws(ChunkStoreError) {
            try stateDirectory.replaceManifest(manifest)
        } catch {
            stateDirectory.clearStaged()
            throw error
        }
        reached(.described)
        let standing = Set(next.files.map(\.fileIndex))
        let replaced = Set(change.replaced)
        let known = Set(former.files.map(\.fileIndex))
        do throws(ChunkStoreError) {
            for file in former.files where !standing.contains(file.fileIndex) {
                try file.retire(
                    reason: replaced.contains(file.key)
                        ? "\(file.key) was replaced at the source while it was being loaded; start again to load it"
                        : "\(file.key) was deleted at the source while it was being loaded; start again without it")
            }
            reached(.cleared)
            for file in next.files where !known.contains(file.fileIndex) { try file.takePlace() }
        } catch {
            // The former set is not all there, nor is the new one: only a new start can tell.
            stop()
            throw error
        }
        if medium == .disk { _ = mc_sync_directory(directory) }
        reached(.placed)
        replaceSet(next)
        return change
    }

    /// The next set: files that stand, and new ones made aside. On an error nothing of it is left.
    private func stage(_ manifest: Manifest, _ former: FileSet) throws(ChunkStoreError) -> FileSet {
        let known = Dictionary(uniqueKeysWithValues: former.files.map { ($0.fileIndex, $0) })
        do throws(ChunkStoreError) {
            try stateDirectory.makeStaging()
            var files: [CachedFile] = []
            for entry in manifest.files {
                if let file = known[entry.index] {
                    file.learn(entry.checksums)
                    files.append(file)
                } else {
                    files.append(try makeFile(entry, manifest, at: .staged))
                }
            }
            return FileSet(manifest: manifest, files: files)
        } catch {
            stateDirectory.clearStaged()
            throw error
        }
    }
}

extension CachedFile {
    /// The file is no longer of the model: its names go, nothing more is written to it, and who waits for it is told.
    ///
    /// Errors: `.io`: a name is left.
    func retire(reason: String) throws(ChunkStoreError) {
        close()
        fail(reason: reason)
        try paths.removeAll()
        letGo()
    }
}
