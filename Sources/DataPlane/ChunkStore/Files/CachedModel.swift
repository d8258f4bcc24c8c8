internal import Atomics
internal import Checksum
internal import Glibc
internal import LinuxShim
internal import Logging
internal import Synchronization

/// Figures of one model.
public struct ModelStatistics: Sendable, Hashable {
    public var totalBytes: UInt64
    public var receivedBytes: UInt64
    public var files: Int
    public var completeFiles: Int
    public var failedFiles: Int
}

/// One model's directory. Its files change with the source (``update(to:)``): ``current`` is what they are now.
public final class CachedModel: Sendable {
    /// `<name>-<16 hex>`: unique within the root; the id for the budget.
    public let id: String
    /// Absolute path.
    public let directory: String
    /// The files as they are now. Work that lasts takes this value once and stays with it.
    public var current: FileSet { fileSet.withLock { $0 } }
    /// Of ``current``.
    public var manifest: Manifest { current.manifest }
    /// Of ``current``, in manifest order.
    public var files: [CachedFile] { current.files }
    public let medium: Medium
    public let visibility: VisibilityMode
    /// The owner of what the model asks of ``BlockingWork``.
    public let work: WorkOwner

    private let fileSet: Mutex<FileSet>
    let stateDirectory: StateDirectory
    /// Whether the directory is a tmpfs of its own.
    let isMount: Bool
    let mounts: any TmpfsMounts
    /// Held for an update.
    let updating = Mutex<Void>(())
    private let closed = ManagedAtomic<Bool>(false)
    private let notifier: ChangeNotifier
    private let losses: LossReport
    private let checker: ChunkChecker
    private struct Use {
        var count = 0
        var pinned: Bool
        var lastUsed: Int64
        /// `lastUsed` is not on the medium yet.
        var isUnsaved = false
    }
    private let use: Mutex<Use>

    /// On a directory that has its `.modelcache/`. Finishes an update that a crash cut off, opens the files that are
    /// there and makes those that are not. Chunks that are there are checked after that (``ChunkChecker``); nothing is
    /// read here.
    init(
        id: String, directory: String, manifest: Manifest, medium: Medium, isMount: Bool,
        mounts: any TmpfsMounts, visibility: VisibilityMode, fresh: Bool, logger: Logger
    ) throws(ChunkStoreError) {
        let stateDirectory = StateDirectory(directory: directory)
        let notifier = ChangeNotifier()
        let losses = LossReport(logger: logger, model: id)
        if !fresh { try stateDirectory.clearRemains(of: manifest) }
        var files: [CachedFile] = []
        for entry in manifest.files {
            let file = try CachedFile(
                entry: entry, manifest: manifest, paths: FilePaths(directory: directory, key: entry.key),
                medium: medium, visibility: visibility,
                changed: { notifier.notify() }, lost: { losses.tell($0) })
            try file.recover()
            files.append(file)
        }
        self.id = id
        self.directory = directory
        fileSet = Mutex(FileSet(manifest: manifest, files: files))
        self.medium = medium
        self.isMount = isMount
        self.mounts = mounts
        self.visibility = visibility
        self.stateDirectory = stateDirectory
        self.notifier = notifier
        self.losses = losses
        let work = WorkOwner(id, isOnDisk: medium == .disk)
        self.work = work
        checker = ChunkChecker(files: files, work: .shared, for: work, logger: logger)
        use = Mutex(Use(pinned: stateDirectory.isPinned, lastUsed: stateDirectory.lastUsed))
        beat()
        checker.start()
    }

    // MARK: Chunks of an earlier agent

    /// A reader waits for these bytes: unchecked chunks among them are checked before others. Quick, does not block.
    public func demandCheck(fileIndex: UInt32, offset: UInt64, length: UInt64) {
        let set = current
        guard length > 0, let place = set.position(ofFileIndex: fileIndex) else { return }
        let file = set.files[place]
        guard offset < file.size else { return }
        let end = offset.addingReportingOverflow(length)
        let last = (end.overflow ? file.size : min(file.size, end.partialValue)) - 1
        checker.demand(file, Int(offset / file.chunkBytes)..<Int(last / file.chunkBytes) + 1)
    }

    /// Until every chunk that was here at the start has been checked, or the model was stopped.
    public func checked() async { await checker.finished() }

    /// Chunks that were here and are missing from now on. Ends with the model, or when the caller stops to listen.
    public func lostChunks() -> AsyncStream<LostChunk> { losses.stream() }

    public var statistics: ModelStatistics {
        let (manifest, files) = (current.manifest, current.files)
        var s = ModelStatistics(
            totalBytes: manifest.totalBytes, receivedBytes: 0, files: files.count, completeFiles: 0, failedFiles: 0)
        for file in files {
            s.receivedBytes += file.receivedBytes
            switch file.state {
            case .complete: s.completeFiles += 1
            case .failed: s.failedFiles += 1
            case .filling: break
            }
        }
        return s
    }

    /// For `EvictionPolicy`; `lastUsed` is seconds since 1970 and outlives the agent.
    public var usage: ModelUsage {
        use.withLock {
            ModelUsage(id: id, bytes: manifest.totalBytes, lastUsed: $0.lastUsed, inUse: $0.count, pinned: $0.pinned)
        }
    }

    /// Counts a user (a session) and refreshes `lastUsed`. Never blocks.
    public func retain() {
        use.withLock {
            $0.count += 1
            $0.lastUsed = Int64(time(nil))
            $0.isUnsaved = true
        }
    }

    /// Once for every `retain`.
    public func release() {
        use.withLock {
            precondition($0.count > 0, "released more often than retained")
            $0.count -= 1
            $0.lastUsed = Int64(time(nil))
            $0.isUnsaved = true
        }
    }

    /// Makes `lastUsed` outlive the agent. To be called now and then; blocks on the file system, which ``retain()`` and
    /// ``release()`` do not.
    public func saveLastUsed() {
        let isDue = use.withLock { use in
            defer { use.isUnsaved = false }
            return use.isUnsaved
        }
        if isDue { stateDirectory.touch() }
    }

    /// Outlives the agent. Errors: `.io`, `.mediumFull`.
    public func setPinned(_ pinned: Bool) throws(ChunkStoreError) {
        try stateDirectory.setPinned(pinned)
        use.withLock { $0.pinned = pinned }
    }

    /// Stopped, evicted, or left half-way by an update that failed: no chunk can be written any more.
    public var isClosed: Bool { closed.load(ordering: .acquiring) }

    func replaceSet(_ set: FileSet) {
        fileSet.withLock { $0 = set }
        notifier.notify()
    }

    func makeFile(_ entry: ManifestFile, _ manifest: Manifest, at place: CachedFile.Place) throws(ChunkStoreError)
        -> CachedFile
    {
        try CachedFile(
            entry: entry, manifest: manifest, paths: FilePaths(directory: directory, key: entry.key), at: place,
            medium: medium,
            visibility: visibility, changed: { [notifier] in notifier.notify() }, lost: { [losses] in losses.tell($0) })
    }

    /// Called on the thread that made the change, after it: must be quick and not block. Replaces the former one.
    public func onChange(_ body: (@Sendable () -> Void)?) { notifier.set(body) }

    /// To be called once a second: `owner_beat` in every presence file.
    public func beat() {
        for file in files { file.map.beat() }
    }

    /// No more chunks.
    func stop() {
        closed.store(true, ordering: .releasing)
        checker.stop()
        saveLastUsed()
        for file in files { file.close() }
        notifier.finish()
        losses.finish()
    }

    /// Gives back the pages of files whose names are gone. To be called after ``stop()``. Blocking.
    func letGo() {
        for file in files { file.letGo() }
    }

    /// Stops, and on a disk makes data and presence durable, in this order. Blocking.
    func close() throws(ChunkStoreError) {
        stop()
        if medium == .disk {
            for file in files { try file.sync() }
            _ = mc_sync_directory(directory)
        }
    }
}

extension CachedFile {
    func sync() throws(ChunkStoreError) {
        var result = mc_fdatasync(descriptor)
        if result == 0 {
            let fd = paths.presence.open(writing: true)
            result = fd < 0 ? fd : mc_fdatasync(fd)
            if fd >= 0 { Glibc.close(fd) }
        }
        if result < 0 { throw .from(Int(result), "sync", "\(paths.partial)") }
    }
}
