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
    private let modelsPath: String
    private let options: MediumOptions
    private let visibility: VisibilityMode
    private let logger: Logger
    private let bootID: String
    private let lock: RootLock

    private struct State {
        var models: [String: CachedModel] = [:]
        var closed = false
    }
    private let state = Mutex(State())

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
            lock.release()
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
                return .success(model)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Closes the model, unmounts or deletes its directory. Readers that have files open keep their pages until they close
    /// them. Whether anyone uses the model is the caller's business.
    public func evict(_ model: CachedModel) throws(ChunkStoreError) {
        _ = state.withLock { $0.models.removeValue(forKey: model.id) }
        model.stop()
        try remove(model.directory)
    }

    /// Of what new models would lie on: available memory for mounts, else the file system of the root.
    public func space() throws(ChunkStoreError) -> (totalBytes: UInt64, freeBytes: UInt64) {
        if options.preference == .mount || (options.preference == .automatic && geteuid() == 0), let memory = MemoryFigures.read() {
            return memory
        }
        var filesystem = mc_filesystem()
        let result = mc_filesystem_at(modelsPath, &filesystem)
        if result < 0 { throw .from(Int(result), "statfs", modelsPath) }
        return (filesystem.total_bytes, filesystem.free_bytes)
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
                logger.error("model could not be closed cleanly; it is checked at the next start", metadata: ["model": "\(model.id)", "error": "\(error)"])
            }
        }
        lock.release()
    }

    // MARK: Making and removing

    private func create(_ id: String, _ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        let directory = "\(modelsPath)/\(id)"
        // An empty directory of this name is ours: a start that died between mkdir and the marker.
        rmdir(directory)
        if mkdir(directory, 0o755) != 0 {
            if errno == EEXIST { throw .notOurs(path: directory) }
            throw .from(Int(-errno), "create directory", directory)
        }
        chmod(directory, 0o755)
        do throws(ChunkStoreError) {
            var mounted = false
            if options.preference == .automatic || options.preference == .mount {
                let bytes = options.mountLimitBytes ?? ModelMount.neededBytes(manifest)
                mounted = try ModelMount.mount(at: directory, bytes: bytes, hugePages: options.hugePages)
                if !mounted && options.preference == .mount { throw ChunkStoreError.io(operation: "mount tmpfs at", path: directory, errno: EPERM) }
            }
            try StateDirectory(directory: directory).create(manifest)
            return try CachedModel(
                id: id, directory: directory, manifest: manifest, medium: try Medium.of(directory, preference: options.preference),
                visibility: visibility, ownMount: mounted, bootID: bootID, fresh: true)
        } catch {
            try? remove(directory)
            throw error
        }
    }

    /// Unmounts our mount, or renames the directory aside and deletes it, so that a crash half-way leaves a name that says so.
    private func remove(_ directory: String) throws(ChunkStoreError) {
        let state = StateDirectory(directory: directory)
        if ModelMount.isMountPoint(directory, parent: modelsPath) {
            let result = mc_unmount_detached(directory)
            if result < 0 { throw .from(Int(result), "unmount", directory) }
        } else if state.isOurs {
            let aside = "\(modelsPath)/.evicting-\(UUID().uuidString)"
            if rename(directory, aside) != 0 { throw .from(Int(-errno), "rename", directory) }
            try delete(aside)
            return
        }
        if rmdir(directory) != 0 && errno != ENOENT {
            if errno == ENOTEMPTY { throw .notOurs(path: directory) }
            throw .from(Int(-errno), "remove directory", directory)
        }
    }

    private func delete(_ path: String) throws(ChunkStoreError) {
        // Symbolic links inside are removed, not followed.
        do { try FileManager.default.removeItem(atPath: path) } catch { throw .io(operation: "delete", path: path, errno: EIO) }
    }

    // MARK: Starting

    private func recover() throws(ChunkStoreError) {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: modelsPath) } catch {
            throw .io(operation: "list", path: modelsPath, errno: EIO)
        }
        for name in names.sorted() {
            let directory = "\(modelsPath)/\(name)"
            if name.hasPrefix(".evicting-") {
                try? delete(directory)
                continue
            }
            let stateDirectory = StateDirectory(directory: directory)
            guard stateDirectory.isOurs else {
                // A mount that went with its namespace leaves an empty directory.
                if rmdir(directory) != 0 { logger.warning("left alone: not made by the cache", metadata: ["path": "\(directory)"]) }
                continue
            }
            do throws(ChunkStoreError) {
                let manifest = try stateDirectory.readManifest()
                if manifest.identity.directoryName != name { throw .corrupt(path: directory, why: "its manifest is another model's") }
                let model = try CachedModel(
                    id: name, directory: directory, manifest: manifest, medium: try Medium.of(directory, preference: options.preference),
                    visibility: visibility, ownMount: ModelMount.isMountPoint(directory, parent: modelsPath), bootID: bootID,
                    fresh: false)
                state.withLock { $0.models[name] = model }
            } catch {
                logger.error("model cannot be recovered", metadata: ["path": "\(directory)", "error": "\(error)"])
                // Only what can never be read again goes; a full medium or too few descriptors may be better next time.
                if case .corrupt = error { try? remove(directory) }
            }
        }
    }

    private static func prepare(_ path: String) throws(ChunkStoreError) {
        do {
            if access(path, F_OK) != 0 { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755]) }
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
    private static func readBootID() -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 37) { buffer in
            guard let base = buffer.baseAddress, mc_boot_id(base) == 0 else { return "" }
            return String(cString: base)
        }
    }
}

/// MemTotal and MemAvailable of /proc/meminfo.
private enum MemoryFigures {
    static func read() -> (totalBytes: UInt64, freeBytes: UInt64)? {
        let fd = mc_openat(MC_AT_CWD, "/proc/meminfo", 0, 0)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let n = mc_pread_all(fd, &bytes, bytes.count, 0)
        guard n > 0 else { return nil }
        var total: UInt64?
        var free: UInt64?
        for line in String(decoding: bytes.prefix(n), as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 2, let kibibytes = UInt64(words[1]) else { continue }
            if words[0] == "MemTotal:" { total = kibibytes * 1024 }
            if words[0] == "MemAvailable:" { free = kibibytes * 1024 }
        }
        guard let total, let free else { return nil }
        return (total, free)
    }
}
