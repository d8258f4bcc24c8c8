internal import ChunkStore

/// Files that a fill need not fetch, since another cache of the node has their bytes.
extension ModelRegistry {
    /// By the ``CachedFile/fileIndex`` of the file that each is copied to. To lend a file is no use of its cache: an
    /// eviction ends the copy, and the fill fetches the rest.
    func donors(for model: OpenModel, _ name: ModelName) -> [UInt32: CachedFile] {
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
        return Dictionary(
            uniqueKeysWithValues: choice.map { (set.files[$0].fileIndex, sets[$1.cache].files[$1.file]) })
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
