internal import FoundationEssentials
internal import Glibc
internal import LinuxShim
public import Logging
internal import Synchronization

/// The root directory of the cache. One process at a time holds it.
///
/// Guarantees: only directories that carry the cache's marker are ever deleted; what was received before a crash is there
/// after the next start. Assumptions: nobody else writes below the root. Calls block on the file system.
public final class CacheRoot: Sendable {
    public let path: String
    let modelsPath: String
    let options: MediumOptions
    let visibility: VisibilityMode
    let logger: Logger
    let bootID: String
    private let lock: RootLock

    struct State {
        var models: [String: CachedModel] = [:]
        var closed = false
    }
    let state = Mutex(State())
    /// Whether this process may mount; nil until it was tried.
    private let mayMount = Mutex<Bool?>(nil)

    /// Creates the directory if need be (0755), takes the lock, recovers existing models.
    ///
    /// Errors: `.rootLocked`, `.rootNotWritable`, `.io`, `.mediumFull`.
    public init(
        path: String, medium: MediumOptions = .init(), visibility: VisibilityMode = .streaming,
        logger: Logger = Logger(label: "modelcache.chunkstore")
    ) throws(ChunkStoreError) {
        self.path = path
        self.visibility = visibility
        self.logger = logger
        options = medium
        modelsPath = "\(path)/models"
        bootID = CacheRoot.readBootID()
        try CacheRoot.prepare(path)
        lock = try RootLock(root: path)
        do {
            try CacheRoot.prepare(modelsPath)
            try recover()
        } catch {
            // Not only the lock: deinit runs after a failed init too, and must find this closed.
            close()
            throw error
        }
    }

    deinit { close() }

    /// Models recovered or created, by directory name.
    public var models: [CachedModel] { state.withLock { $0.models.values.sorted { $0.id < $1.id } } }

    public func model(for identity: SourceIdentity) -> CachedModel? {
        state.withLock { $0.models[identity.directoryName] }
    }

    /// Opens the existing model of this generation or makes a new one. Admission (`EvictionPolicy`) is the caller's.
    ///
    /// A model that could not be recovered at the start is tried once more; the error says what is wrong with it.
    ///
    /// Errors: `.otherGeneration` if another version is cached (evict it first), `.notOurs`, `.io`, `.mediumFull`.
    public func open(_ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        let result: Result<CachedModel, ChunkStoreError> = state.withLock { state in
            do throws(ChunkStoreError) {
                let id = manifest.identity.directoryName
                if let model = state.models[id] {
                    if model.manifest.generation != manifest.generation { throw .otherGeneration(directory: model.directory) }
                    return .success(model)
                }
                let model = try create(id, manifest)
                state.models[id] = model
                if model.manifest.generation != manifest.generation { throw .otherGeneration(directory: model.directory) }
                return .success(model)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Closes the model, unmounts or deletes its directory. Readers that have files open keep their pages until they close
    /// them. Whether anyone uses the model is the caller's business. A model whose place a newer one has taken is gone
    /// already: nothing happens to the newer one.
    ///
    /// Errors: `.io`, `.notOurs`.
    public func evict(_ model: CachedModel) throws(ChunkStoreError) {
        model.stop()
        let replaced = state.withLock { state in
            guard let current = state.models[model.id] else { return false }
            if current !== model { return true }
            state.models[model.id] = nil
            return false
        }
        if replaced { return }
        try remove(model.directory)
    }

    /// Of what new models would lie on. Mounts of our own: the memory this process can have, control groups respected. Else
    /// the file system of the root, and on a tmpfs no more than that memory.
    ///
    /// Errors: `.io`.
    public func space() throws(ChunkStoreError) -> (totalBytes: UInt64, freeBytes: UInt64) {
        if mounts, let memory = AvailableMemory.read() { return (memory.totalBytes, memory.freeBytes) }
        return try CacheRoot.space(at: modelsPath)
    }

    /// Of the file system at `path`, and on a tmpfs no more than the memory this process can have.
    static func space(at path: String) throws(ChunkStoreError) -> (totalBytes: UInt64, freeBytes: UInt64) {
        var filesystem = mc_filesystem()
        let result = mc_filesystem_at(path, &filesystem)
        if result < 0 { throw .from(Int(result), "statfs", path) }
        if filesystem.is_tmpfs, let memory = AvailableMemory.read() {
            return (min(filesystem.total_bytes, memory.totalBytes), min(filesystem.free_bytes, memory.freeBytes))
        }
        return (filesystem.total_bytes, filesystem.free_bytes)
    }

    /// Whether a new model would get a mount of its own.
    private var mounts: Bool {
        guard options.preference == .mount || options.preference == .automatic else { return false }
        return mayMount.withLock { known in
            if let known { return known }
            let allowed = ModelMount.isAllowed(below: modelsPath)
            known = allowed
            return allowed
        }
    }

    /// Syncs (disk), marks every model cleanly closed, gives up the lock. Files stay. Idempotent.
    public func close() {
        let models: [CachedModel]? = state.withLock { state in
            if state.closed { return nil }
            state.closed = true
            defer { state.models = [:] }
            return Array(state.models.values)
        }
        guard let models else { return }
        for model in models {
            do { try model.close() } catch {
                logger.error(
                    "model could not be closed cleanly; it is checked at the next start",
                    metadata: ["model": "\(model.id)", "error": "\(error)"])
            }
        }
        lock.release()
    }

    static func prepare(_ path: String) throws(ChunkStoreError) {
        do {
            if access(path, F_OK) != 0 {
                try FileManager.default.createDirectory(
                    atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
            }
        } catch {
            throw .rootNotWritable(path: path, why: "it cannot be created")
        }
        var status = mc_stat()
        var filesystem = mc_filesystem()
        // A trailing slash: the root itself may be a symbolic link.
        if mc_stat_at(MC_AT_CWD, path + "/", &status) < 0 || !status.is_directory {
            throw .rootNotWritable(path: path, why: "it is not a directory")
        }
        if mc_filesystem_at(path, &filesystem) == 0, filesystem.read_only {
            throw .rootNotWritable(path: path, why: "its file system is read-only")
        }
        if access(path, W_OK | X_OK) != 0 {
            throw .rootNotWritable(path: path, why: String(cString: strerror(errno)))
        }
    }

    /// Empty when there is none to read: then every unclean start on a disk is suspect.
    static func readBootID() -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 37) { buffer in
            guard let base = buffer.baseAddress, mc_boot_id(base) == 0 else { return "" }
            return String(cString: base)
        }
    }
}
