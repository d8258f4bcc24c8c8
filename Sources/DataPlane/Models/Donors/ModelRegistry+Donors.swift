internal import ChunkStore
internal import Transfer

/// Files that a fill need not fetch, since another cache of the node has their bytes.
extension ModelRegistry {
    /// By the ``CachedFile/fileIndex`` of the file that each is copied to.
    func donors(for model: OpenModel, _ name: ModelName) -> [UInt32: Donor] {
        let set = model.cached.current
        let lacking = set.files.indices.filter {
            set.files[$0].state == .filling && set.files[$0].receivedChunks < set.files[$0].chunkCount
        }
        guard !model.isFilling, !lacking.isEmpty, let owner = owner(name) else { return [:] }
        let others = lenders(besides: name)
        let sets = others.map(\.cached.current)
        let choice = DonorChoice.donors(
            for: lacking, of: CacheContents(owner, set),
            among: zip(others, sets).map { CacheContents($0.owner, $1) })
        var loans: [Int: CacheLoan] = [:]
        var donors: [UInt32: Donor] = [:]
        for (place, donor) in choice {
            let loan = loans[donor.cache] ?? CacheLoan(others[donor.cache].cached)
            loans[donor.cache] = loan
            donors[set.files[place].fileIndex] = Donor(sets[donor.cache].files[donor.file], loan: loan)
        }
        return donors
    }

    /// Models that are open and stay so; those in memory first, for they are read the quickest.
    private func lenders(besides name: ModelName) -> [(owner: CacheContents.Owner, cached: CachedModel)] {
        let names = models.keys.map { ModelName.source($0) } + caches.keys.map { .cache($0) }
        let open = names.filter { $0 != name && machines[$0]?.isOpen == true }.compactMap { name in
            model(name).flatMap { model in owner(name).map { (owner: $0, cached: model.cached) } }
        }
        return open.filter { $0.cached.medium != .disk } + open.filter { $0.cached.medium == .disk }
    }

    private func owner(_ name: ModelName) -> CacheContents.Owner? {
        switch name {
        case .source: .agent
        case .cache(let uid): caches[uid].map { .namespace($0.definition.namespace) }
        }
    }
}

extension CacheContents {
    fileprivate init(_ owner: Owner, _ set: FileSet) {
        self.init(
            owner: owner, identity: set.manifest.identity, files: set.manifest.files,
            verified: Set(set.files.indices.filter { set.files[$0].isVerified }))
    }
}
