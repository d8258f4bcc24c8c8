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

/// One model's directory.
public final class CachedModel: Sendable {
    /// `<name>-<16 hex>`: unique within the root; the id for the budget.
    public let id: String
    /// Absolute path.
    public let directory: String
    public let manifest: Manifest
    /// In manifest order; `files[i].index == i`.
    public let files: [CachedFile]
    public let medium: Medium
    public let visibility: VisibilityMode

    private let stateDirectory: StateDirectory
    private let bootID: String
    private let notifier: ChangeNotifier
    private struct Use {
        var count = 0
        var pinned: Bool
        var lastUsed: Int64
    }
    private let use: Mutex<Use>

    /// On a directory that has its `.modelcache/`. Opens the files that are there and makes those that are not; after a
    /// crash of the machine on a disk, holds every received chunk against its stored CRC before it is shown.
    init(
        id: String, directory: String, manifest: Manifest, medium: Medium, visibility: VisibilityMode,
        bootID: String, fresh: Bool, logger: Logger
    ) throws(ChunkStoreError) {
        let stateDirectory = StateDirectory(directory: directory)
        let suspect = !fresh && medium == .disk && stateDirectory.wasCutOff(bootID: bootID)
        let notifier = ChangeNotifier()
        var files: [CachedFile] = []
        for (index, entry) in manifest.files.enumerated() {
            let file = try CachedFile(
                index: index, entry: entry, chunkBytes: manifest.chunkBytes, generation: manifest.generation,
                paths: FilePaths(directory: directory, key: entry.key), medium: medium, visibility: visibility,
                changed: { notifier.notify() })
            files.append(file)
        }
        if suspect {
            var progress = RecheckProgress(logger: logger, model: id, totalBytes: files.reduce(0) { $0 + $1.receivedBytes })
            for file in files { try file.recheck(&progress) }
            progress.finish()
        }
        for file in files { try file.recover() }
        // Only now: a crash during the check must lead to another check. On tmpfs nothing asks for the record, and a full
        // one has no room for it.
        if medium == .disk { try stateDirectory.record(bootID: bootID, closed: false) }
        self.id = id
        self.directory = directory
        self.manifest = manifest
        self.files = files
        self.medium = medium
        self.visibility = visibility
        self.stateDirectory = stateDirectory
        self.bootID = bootID
        self.notifier = notifier
        use = Mutex(Use(pinned: stateDirectory.isPinned, lastUsed: stateDirectory.lastUsed))
        beat()
    }

    public var statistics: ModelStatistics {
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

    /// Counts a user (a session) and refreshes `lastUsed`.
    public func retain() {
        use.withLock {
            $0.count += 1
            $0.lastUsed = Int64(time(nil))
        }
        stateDirectory.touch()
    }

    /// Once for every `retain`.
    public func release() {
        use.withLock {
            precondition($0.count > 0, "released more often than retained")
            $0.count -= 1
            $0.lastUsed = Int64(time(nil))
        }
        stateDirectory.touch()
    }

    /// Outlives the agent. Errors: `.io`, `.mediumFull`.
    public func setPinned(_ pinned: Bool) throws(ChunkStoreError) {
        try stateDirectory.setPinned(pinned)
        use.withLock { $0.pinned = pinned }
    }

    /// Called on the thread that made the change, after it: must be quick and not block. Replaces the former one.
    public func onChange(_ body: (@Sendable () -> Void)?) { notifier.set(body) }

    /// The same as a stream, coalesced: many changes between two looks are one element. Ends with the model.
    public func changes() -> AsyncStream<Void> { notifier.stream() }

    /// To be called once a second: `owner_beat` in every presence file.
    public func beat() {
        for file in files { file.map.beat() }
    }

    /// No more chunks.
    func stop() {
        for file in files { file.close() }
        notifier.finish()
    }

    /// Stops, and on a disk makes the bits trustworthy for the next boot: data first, then presence, then the record.
    func close() throws(ChunkStoreError) {
        stop()
        if medium == .disk {
            for file in files { try file.sync() }
            _ = mc_sync_directory(directory)
            try stateDirectory.record(bootID: bootID, closed: true)
        }
    }
}

extension CachedFile {
    /// What a start makes of what the last agent left.
    ///
    /// Everything received is kept. A plain name that is there was verified before it was linked, even if the agent died
    /// before it said so. A failed file gets another chance. In strict mode nothing is shown but complete files.
    func recover() throws(ChunkStoreError) {
        let whole = map.receivedCount == chunkCount
        if paths.isPublished && whole {
            map.showAllReceived()
            map.state = .complete
        } else {
            paths.unpublish()
            if map.state != .filling { map.state = .filling }
            map.setMessage("")
            if visibility == .streaming { map.showAllReceived() } else { map.hideAll() }
        }
        recount()
        map.announce()
    }

    /// Drops every chunk whose bytes do not have the stored CRC. Nothing is shown meanwhile; a file that turns out whole has
    /// its plain name back.
    func recheck(_ progress: inout RecheckProgress) throws(ChunkStoreError) {
        let wasPublished = paths.isPublished
        paths.unpublish()
        map.hideAll()
        if map.state != .failed { map.state = .filling }
        for chunk in 0..<chunkCount where map.isReceived(chunk) {
            var crc: UInt64 = 0
            let range = range(ofChunk: chunk)
            try forEachPiece(range) { crc = mc_crc64(crc, $0.baseAddress, $0.count) }
            let good = crc == map.checksum(chunk)
            if !good { map.clearReceived(chunk) }
            progress.checked(bytes: range.upperBound - range.lowerBound, good: good)
        }
        if wasPublished && map.receivedCount == chunkCount { try paths.publish() }
    }

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
