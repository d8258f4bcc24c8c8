public import FoundationEssentials
internal import Glibc
internal import LinuxShim
public import Logging
internal import Synchronization

/// The prepared caches of one medium: `<root>/caches/<name>`, a volume each, and what they were prepared for beside them
/// (``VolumeDefinitions``).
///
/// A volume is made before any of its model's bytes are known and stays when they go, because pods have it mounted. Making
/// one is mkdir, mount, marker, definition, in this order: what has no definition after a crash was never promised to
/// anybody and is removed by the next start. Names are the caller's and must be plain: no slash, no leading dot.
///
/// Assumption: the caller holds the lock of the root (`CacheRoot`), or asks for it here where there is no `CacheRoot`.
public final class CacheVolumes: Sendable {
    /// `<root>/caches`
    public let path: String
    private let root: String
    private let options: MediumOptions
    private let visibility: VisibilityMode
    private let logger: Logger
    private let bootID: String
    private let lock: RootLock?
    private let definitions: VolumeDefinitions
    private let volumes = Mutex<[String: CacheVolume]>([:])
    private let isClosed = Mutex(false)

    /// Recovers the volumes that are there.
    ///
    /// - Parameter takesLock: this root has no `CacheRoot` that holds the lock.
    /// Errors: `.rootLocked`, `.rootNotWritable`, `.io`.
    public init(
        root: String, medium: MediumOptions, visibility: VisibilityMode = .streaming, takesLock: Bool = false,
        logger: Logger = Logger(label: "modelcache.chunkstore")
    ) throws(ChunkStoreError) {
        self.root = root
        path = "\(root)/caches"
        options = medium
        self.visibility = visibility
        self.logger = logger
        bootID = CacheRoot.readBootID()
        definitions = VolumeDefinitions(root: root)
        try CacheRoot.prepare(root)
        lock = takesLock ? try RootLock(root: root) : nil
        do {
            // Made with the first volume: an agent that is never asked for one leaves no trace of this.
            if access(path, F_OK) == 0 { try recover() }
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    /// Sorted by name.
    public var all: [CacheVolume] { volumes.withLock { $0.values.sorted { $0.name < $1.name } } }

    /// Of what a new volume would lie on.
    public func space() throws(ChunkStoreError) -> (totalBytes: UInt64, freeBytes: UInt64) {
        if options.preference != .disk, options.preference != .directory, let memory = AvailableMemory.read() {
            return (memory.totalBytes, memory.freeBytes)
        }
        return try CacheRoot.space(at: root)
    }

    /// Makes the volume, or takes up what lies there of an earlier one whose definition was lost: its bytes are kept.
    ///
    /// - Parameters:
    ///   - definition: kept with the volume, not understood here.
    ///   - bytes: of the model; the hard limit of a mount is somewhat more (``CacheVolume/limitBytes(forModelBytes:)``).
    /// Errors: `.notOurs`, `.io`, `.mediumFull`.
    public func prepare(_ name: String, definition: Data, modelBytes bytes: UInt64) throws(ChunkStoreError) -> CacheVolume {
        let directory = "\(path)/\(name)"
        let state = StateDirectory(directory: directory)
        try CacheRoot.prepare(path)
        if mkdir(directory, 0o755) != 0 {
            if errno != EEXIST { throw .from(Int(-errno), "create directory", directory) }
            if try !state.isOurs() {
                try OwnedDirectory.remove(directory, in: path)
                if mkdir(directory, 0o755) != 0 { throw .from(Int(-errno), "create directory", directory) }
            }
        }
        chmod(directory, 0o755)
        do throws(ChunkStoreError) {
            if try !state.isOurs() {
                try mountIfWanted(directory, bytes: bytes)
                try state.mark()
            }
            let volume = try open(name)
            try volume.grow(toModelBytes: bytes)
            try volume.writeDefinition(definition)
            volumes.withLock { $0[name] = volume }
            return volume
        } catch {
            do { try erase(name) } catch {
                logger.error("half-made volume stays until the next start", metadata: ["path": "\(directory)", "error": "\(error)"])
            }
            throw error
        }
    }

    /// Removes the volume and all its bytes. Readers that have files open keep their pages. A crash in the middle is finished
    /// by the next start.
    ///
    /// Errors: `.io`, `.notOurs`.
    public func remove(_ volume: CacheVolume) throws(ChunkStoreError) {
        volume.model?.stop()
        try erase(volume.name)
        volumes.withLock { $0[volume.name] = nil }
    }

    /// Takes a volume whose definition cannot be understood out of use: the definition is renamed, the bytes stay until
    /// ``prepare(_:definition:modelBytes:)`` or ``removeRemains(_:)`` names it.
    public func setAside(_ volume: CacheVolume) {
        definitions.setAside(volume.name)
        volumes.withLock { $0[volume.name] = nil }
    }

    /// Removes what lies under a name that no volume in use has. Nothing when there is nothing.
    ///
    /// Errors: `.io`, `.notOurs`.
    public func removeRemains(_ name: String) throws(ChunkStoreError) {
        let directory = "\(path)/\(name)"
        if volumes.withLock({ $0[name] != nil }) || access(directory, F_OK) != 0 { return }
        try erase(name)
    }

    /// The definition last: as long as bytes are left, the next start knows what they were for or removes them.
    private func erase(_ name: String) throws(ChunkStoreError) {
        try OwnedDirectory.remove("\(path)/\(name)", in: path)
        try definitions.remove(name)
    }

    /// Closes every model cleanly, gives up the lock. Volumes stay. Idempotent.
    public func close() {
        let wasClosed = isClosed.withLock { closed in
            defer { closed = true }
            return closed
        }
        if wasClosed { return }
        for volume in all {
            do { try volume.model?.close() } catch {
                logger.error(
                    "cache could not be closed cleanly; it is checked at the next start",
                    metadata: ["cache": "\(volume.name)", "error": "\(error)"])
            }
        }
        volumes.withLock { $0 = [:] }
        lock?.release()
    }

    private func mountIfWanted(_ directory: String, bytes: UInt64) throws(ChunkStoreError) {
        guard options.preference == .automatic || options.preference == .mount else { return }
        if ModelMount.standing(of: directory, parent: path) == .ours { return }
        let limit = CacheVolume.limitBytes(forModelBytes: bytes)
        if try ModelMount.mount(at: directory, bytes: limit, hugePages: options.hugePages) { return }
        // Without the right to mount, memory is to be had only where the root lies in memory.
        var filesystem = mc_filesystem()
        if options.preference == .automatic, mc_filesystem_at(directory, &filesystem) == 0, filesystem.is_tmpfs { return }
        throw .io(operation: "mount tmpfs at", path: directory, errno: EPERM)
    }

    private func open(_ name: String) throws(ChunkStoreError) -> CacheVolume {
        let directory = "\(path)/\(name)"
        return try CacheVolume(
            name: name, directory: directory, definitions: definitions, medium: try Medium.of(directory, preference: options.preference),
            isMount: ModelMount.standing(of: directory, parent: path) == .ours, visibility: visibility, bootID: bootID,
            logger: logger)
    }

    /// Takes up every volume that has a definition and clears what earlier starts left half done.
    private func recover() throws(ChunkStoreError) {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: path) } catch {
            throw .io(operation: "list", path: path, errno: EIO)
        }
        for name in names.sorted() {
            let directory = "\(path)/\(name)"
            let state = StateDirectory(directory: directory)
            do throws(ChunkStoreError) {
                if name.hasPrefix(OwnedDirectory.asidePrefix) {
                    try OwnedDirectory.delete(name, in: path)
                } else if try !state.isOurs() {
                    // A mount that went with its namespace leaves an empty directory, a crash half a one.
                    try OwnedDirectory.remove(directory, in: path)
                } else if definitions.exists(name) {
                    let volume = try open(name)
                    volumes.withLock { $0[name] = volume }
                } else if definitions.isAside(name) {
                    logger.warning("cache stays aside until it is prepared again", metadata: ["path": "\(directory)"])
                } else {
                    try OwnedDirectory.remove(directory, in: path)
                }
            } catch .notOurs {
                logger.warning("left alone: not made by the cache", metadata: ["path": "\(directory)"])
            } catch {
                logger.error("cache cannot be recovered", metadata: ["path": "\(directory)", "error": "\(error)"])
            }
        }
        definitions.sweep(keeping: Set(names.filter { access("\(path)/\($0)", F_OK) == 0 }))
    }
}
