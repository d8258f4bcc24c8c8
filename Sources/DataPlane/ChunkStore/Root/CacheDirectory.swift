// ChunkStore: the files of models on a node's memory or disk; readers see only the chunks that are there.
//
// A file has its full length from the start. A presence file beside it (agent_wire.h) has a bit for each chunk.
// - Root/: `CacheDirectory` has one `CacheVolume` for each cache and recovers them at a start. `RootLock` lets one
//   agent live for each root.
// - Files/: `CachedModel` is one model's directory, `FileSet` its files at one time, `CachedFile` one file with its
//   `PresenceMap`. `ChunkChecker` checks the chunks that an earlier agent received.
// - Manifest/: `Manifest` lists a model's files, with sizes, entity tags and checksums.
// - Writing/: `ChunkAssembly` puts a chunk together, and a `BlockWriter` takes the bytes of one block. `StagingPool`
//   bounds the memory in flight, and `StagingQueue` decides which fill gets it next.
// - Budget/: `EvictionPolicy` names the models to evict.
// - Medium/ and Mounting/: `Medium` is memory or disk. A `Mounter` mounts for an agent that has no right to.
// - Work/: `BlockingWork` has the threads for work that blocks.
// Invariants:
// - A chunk's bytes come first, then its checksum, then its bit `received`, then `visible`.
// - A chunk has one writer at a time.
// - A file gets its plain name when it is complete and no checksum of the store contradicts it.
// - A data file is never punched or preallocated: a page that exists is visible to some mappings.
// - The agent deletes a directory with bytes only if its marker or its mount says that it is a cache.
// - A pod may write to its cache's directory, so no symbolic link in it is followed (`InnerPath`).
// Left to others: the layout of a presence file (AgentWire), which bytes are fetched (Transfer), who may open a model
// and when one is evicted (Models).

public import FoundationEssentials
internal import Glibc
internal import LinuxShim
public import Logging
internal import Synchronization

/// One directory of caches, a ``CacheVolume`` each: `<root>/models` or `<root>/caches`.
///
/// Making a cache is mkdir, mount, marker, and then its manifest or definition, in this order. The next start removes
/// what a crash left before that. Only directories that carry the cache's marker are ever deleted; what was received
/// before a crash is there after the next start.
///
/// Assumption: nobody else writes below the root. Calls block on the file system.
public final class CacheDirectory: Sendable {
    public enum Kind: String, Sendable {
        /// A cache comes with its model and goes with it. Its name tells the source
        /// (``SourceIdentity/directoryName``).
        case models
        /// A cache is prepared before any of its model's bytes are known and stays when they go, because pods have it
        /// mounted. Its definition lies beside it (``VolumeDefinitions``). Names are the caller's and must be plain: no
        /// slash, no leading dot.
        case caches
    }

    /// `<root>/models` or `<root>/caches`
    public let path: String
    public let kind: Kind
    private let root: String
    private let options: MediumOptions
    private let visibility: VisibilityMode
    private let logger: Logger
    private let definitions: VolumeDefinitions?
    private let volumes = Mutex<[String: CacheVolume]>([:])
    /// Nil once closed.
    private let lock: Mutex<RootLock?>
    /// Held while a model is opened.
    private let opening = Mutex<Void>(())
    /// Whether a cache may be a mount; nil until it was tried.
    private let mayMount = Mutex<Bool?>(nil)

    /// Recovers the caches that are there. Creates the directory of models if need be; that of prepared caches is made
    /// with the first one, so an agent that is never asked for one leaves no trace of it.
    ///
    /// - Parameter lock: of the root, where another directory of this process shares it; nil: taken here.
    /// Errors: `.rootLocked`, `.rootNotWritable`, `.io`, `.mediumFull`.
    public init(
        root: String, _ kind: Kind, medium: MediumOptions = .init(), visibility: VisibilityMode = .streaming,
        lock: RootLock? = nil, logger: Logger = Logger(label: "modelcache.chunkstore")
    ) throws(ChunkStoreError) {
        self.root = root
        self.kind = kind
        path = "\(root)/\(kind.rawValue)"
        options = medium
        self.visibility = visibility
        self.logger = logger
        definitions = kind == .caches ? VolumeDefinitions(root: root) : nil
        let held = if let lock { lock } else { try RootLock(root: root) }
        self.lock = Mutex(held)
        do {
            if kind == .models { try OwnedDirectory.prepare(path) }
            if access(path, F_OK) == 0 { try recover() }
        } catch {
            // Not only the lock: deinit runs after a failed init too, and must find this closed.
            close()
            throw error
        }
    }

    deinit { close() }

    /// Sorted by name.
    public var all: [CacheVolume] { volumes.withLock { $0.values.sorted { $0.name < $1.name } } }

    /// The models that are open, by the name of their cache.
    public var models: [CachedModel] { all.compactMap(\.model) }

    public func model(for identity: SourceIdentity) -> CachedModel? {
        volumes.withLock { $0[identity.directoryName] }?.model
    }

    /// Names of directories that no cache in use has: set aside, or not to be recovered.
    public var remains: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return volumes.withLock { volumes in names.filter { volumes[$0] == nil } }.sorted()
    }

    /// Of what a new cache would lie on. Mounts of our own: the memory this process can have, control groups
    /// respected. Else the file system of the root, and on a tmpfs no more than that memory.
    ///
    /// Errors: `.io`.
    public func space() throws(ChunkStoreError) -> (totalBytes: UInt64, freeBytes: UInt64) {
        if mounts, let memory = AvailableMemory.read() { return (memory.totalBytes, memory.freeBytes) }
        var filesystem = mc_filesystem()
        let result = mc_filesystem_at(root, &filesystem)
        if result < 0 { throw .from(Int(result), "statfs", root) }
        if filesystem.is_tmpfs, let memory = AvailableMemory.read() {
            return (min(filesystem.total_bytes, memory.totalBytes), min(filesystem.free_bytes, memory.freeBytes))
        }
        return (filesystem.total_bytes, filesystem.free_bytes)
    }

    /// Whether a new cache would get a mount of its own. A prepared one of medium Memory always does, but for roots
    /// that lie in memory.
    private var mounts: Bool {
        guard options.preference == .mount || options.preference == .automatic else { return false }
        return kind == .caches
            || mayMount.withLock { known in
                if let known { return known }
                known = options.mounts.isAllowed(below: path)
                return known ?? false
            }
    }

    /// Closes every model: syncs (disk) and gives the root up. Caches stay. Idempotent.
    public func close() {
        let held = lock.withLock { lock in
            defer { lock = nil }
            return lock
        }
        guard held != nil else { return }
        for volume in all {
            do { try volume.model?.close() } catch {
                logger.error(
                    "cache could not be synced; what the disk lacks is fetched again after the next start",
                    metadata: ["cache": "\(volume.name)", "error": "\(error)"])
            }
        }
        volumes.withLock { $0 = [:] }
        withExtendedLifetime(held) {}
    }
}

// MARK: Models

extension CacheDirectory {
    /// Opens the model that is there or makes a new one. Admission (`EvictionPolicy`) is the caller's.
    ///
    /// A model that could not be recovered at the start, or that a failed update has closed, is tried once more; the
    /// error says what is wrong with it. A model that is there may have other files of the source than `manifest`:
    /// `CachedModel.update` makes them these.
    ///
    /// - Precondition: a directory of models.
    /// Errors: `.notOurs`, `.io`, `.mediumFull`.
    public func open(_ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        precondition(kind == .models, "a prepared cache is opened by its volume")
        let result: Result<CachedModel, ChunkStoreError> = opening.withLock { _ in
            do throws(ChunkStoreError) { return .success(try openLocked(manifest)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func openLocked(_ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        let name = manifest.identity.directoryName
        if let known = volumes.withLock({ $0[name] }) { return try known.open(manifest) }
        return try made(name, limit: options.mountLimitBytes ?? ModelMount.neededBytes(manifest)) {
            volume throws(ChunkStoreError) in try volume.open(manifest)
        }
    }

    /// Closes the model, unmounts or deletes its directory. Readers that have files open keep their pages until they
    /// close them. Whether anyone uses the model is the caller's business. A model whose place a newer one has taken is
    /// gone already: nothing happens to the newer one.
    ///
    /// Errors: `.io`, `.notOurs`.
    public func evict(_ model: CachedModel) throws(ChunkStoreError) {
        model.stop()
        guard let volume = volumes.withLock({ $0[model.id] }), volume.model === model else { return }
        try remove(volume)
    }
}

// MARK: Prepared caches

extension CacheDirectory {
    /// Makes the cache, or takes up what lies there of an earlier one whose definition was lost: its bytes are kept.
    ///
    /// - Parameters:
    ///   - definition: kept with the cache, not understood here.
    ///   - bytes: of the model; the hard limit of a mount is somewhat more
    ///     (``CacheVolume/limitBytes(forModelBytes:)``).
    /// Errors: `.notOurs`, `.io`, `.mediumFull`.
    public func prepare(_ name: String, definition: Data, modelBytes bytes: UInt64) throws(ChunkStoreError)
        -> CacheVolume
    {
        try made(name, limit: CacheVolume.limitBytes(forModelBytes: bytes)) { volume throws(ChunkStoreError) in
            try volume.grow(toModelBytes: bytes)
            try volume.writeDefinition(definition)
            return volume
        }
    }

    /// Takes a cache whose definition cannot be understood out of use: the definition is renamed, the bytes stay until
    /// ``prepare(_:definition:modelBytes:)`` or ``removeRemains(_:)`` names it.
    public func setAside(_ volume: CacheVolume) {
        definitions?.setAside(volume.name)
        volumes.withLock { $0[volume.name] = nil }
    }

    /// Removes what lies under a name that no cache in use has. Nothing when there is nothing.
    ///
    /// Errors: `.io`, `.notOurs`.
    public func removeRemains(_ name: String) throws(ChunkStoreError) {
        // Also without its directory: a removal that failed may have left the definition, or bytes under another name.
        if volumes.withLock({ $0[name] == nil }), access(path, F_OK) == 0 { try erase(name) }
    }
}

// MARK: Both

extension CacheDirectory {
    /// Removes the cache and all its bytes. Readers that have files open keep their pages. A crash in the middle is
    /// finished by the next start.
    ///
    /// Errors: `.io`, `.notOurs`. The cache is not in use after an error either, since one that is half removed must
    /// not be filled. It is one of the ``remains``. The next cache of its name takes it up where it still has its
    /// marker, and else begins anew.
    public func remove(_ volume: CacheVolume) throws(ChunkStoreError) {
        volume.model?.stop()
        defer { volumes.withLock { $0[volume.name] = nil } }
        try erase(volume.name)
        volume.model?.letGo()
    }

    private func removeDirectory(_ name: String) throws(ChunkStoreError) {
        try OwnedDirectory.remove(name, in: path, by: options.mounts)
    }

    /// The definition last: as long as bytes are left, the next start knows what they were for or removes them.
    private func erase(_ name: String) throws(ChunkStoreError) {
        try removeDirectory(name)
        try definitions?.remove(name)
    }

    /// A cache in use of this name: new, or what lies there and is ours. When `finish` fails, a new one is gone again.
    private func made<Value>(
        _ name: String, limit: UInt64, finish: (CacheVolume) throws(ChunkStoreError) -> Value
    ) throws(ChunkStoreError) -> Value {
        let directory = "\(path)/\(name)"
        let state = StateDirectory(directory: directory)
        try OwnedDirectory.prepare(path)
        var isNew = true
        if mkdir(directory, 0o755) != 0 {
            if errno != EEXIST { throw .from(Int(-errno), "create directory", directory) }
            isNew = try !state.isOurs()
            if isNew {
                try removeDirectory(name)
                if mkdir(directory, 0o755) != 0 { throw .from(Int(-errno), "create directory", directory) }
            }
        }
        chmod(directory, 0o755)
        do throws(ChunkStoreError) {
            if isNew {
                try mountIfWanted(directory, limit: limit)
                try state.mark()
            }
            let volume = try volume(name)
            let value = try finish(volume)
            volumes.withLock { $0[name] = volume }
            return value
        } catch {
            // The bytes of an earlier cache stay: the reason may pass.
            if !isNew { throw error }
            do { try erase(name) } catch {
                logger.error(
                    "half-made cache stays until the next start",
                    metadata: ["path": "\(directory)", "error": "\(error)"])
            }
            throw error
        }
    }

    private func mountIfWanted(_ directory: String, limit: UInt64) throws(ChunkStoreError) {
        guard options.preference == .automatic || options.preference == .mount else { return }
        if ModelMount.standing(of: directory, parent: path) == .ours { return }
        let result = try options.mounts.mount(directory, bytes: limit, hugePages: options.hugePages)
        if result == 0 { return }
        if result != -EPERM && result != -EACCES { throw .from(Int(result), "mount tmpfs at", directory) }
        if options.preference == .automatic {
            if kind == .models { return }
            // Without the right to mount, memory is to be had only where the root lies in memory.
            var filesystem = mc_filesystem()
            if mc_filesystem_at(directory, &filesystem) == 0, filesystem.is_tmpfs { return }
        }
        throw .io(operation: "mount tmpfs at", path: directory, errno: EPERM)
    }

    private func volume(_ name: String) throws(ChunkStoreError) -> CacheVolume {
        let directory = "\(path)/\(name)"
        return try CacheVolume(
            name: name, directory: directory, kind: kind, definitions: definitions,
            medium: try Medium.of(directory, preference: options.preference),
            isMount: ModelMount.standing(of: directory, parent: path) == .ours, mounts: options.mounts,
            hasFixedLimit: options.mountLimitBytes != nil, visibility: visibility, logger: logger)
    }

    /// Takes up every cache that is there and clears what earlier starts left half done.
    private func recover() throws(ChunkStoreError) {
        let names = try FolderListing.names(in: path)
        for name in names.sorted() {
            let directory = "\(path)/\(name)"
            do throws(ChunkStoreError) {
                try recover(name)
            } catch .notOurs {
                logger.warning("left alone: not made by the cache", metadata: ["path": "\(directory)"])
            } catch {
                logger.error("cache cannot be recovered", metadata: ["path": "\(directory)", "error": "\(error)"])
            }
        }
        definitions?.sweep(keeping: Set(names.filter { access("\(path)/\($0)", F_OK) == 0 || errno != ENOENT }))
    }

    private func recover(_ name: String) throws(ChunkStoreError) {
        let directory = "\(path)/\(name)"
        if name.hasPrefix(OwnedDirectory.asidePrefix) { return try OwnedDirectory.delete(name, in: path) }
        // A mount that went with its namespace leaves an empty directory, a crash half a one.
        guard try StateDirectory(directory: directory).isOurs() else {
            return try removeDirectory(name)
        }
        if let definitions, try !definitions.exists(name) {
            guard try definitions.isAside(name) else { return try removeDirectory(name) }
            return logger.warning(
                "cache stays aside until it is prepared again", metadata: ["path": "\(directory)"])
        }
        let volume = try volume(name)
        // A model that can never be read again is gone, and so is its cache where nobody prepared it.
        if kind == .models, try !volume.holdsModel { return try erase(name) }
        volumes.withLock { $0[name] = volume }
    }
}
