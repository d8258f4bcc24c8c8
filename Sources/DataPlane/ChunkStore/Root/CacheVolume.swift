internal import AgentWire
public import FoundationEssentials
internal import Glibc
internal import LinuxShim
internal import Logging
internal import Synchronization

/// One cache: a directory that holds one model's files. A prepared one stands before it has any and after they went.
public final class CacheVolume: Sendable {
    /// The last component of ``directory``.
    public let name: String
    /// Absolute path; itself the mount point where the volume is a mount.
    public let directory: String
    public let medium: Medium
    /// Whether it is a tmpfs of its own, with a hard size limit.
    public let isMount: Bool

    private let kind: CacheDirectory.Kind
    /// Nil: it goes with its model.
    private let definitions: VolumeDefinitions?
    private let mounts: any TmpfsMounts
    private let hasFixedLimit: Bool
    private let visibility: VisibilityMode
    private let logger: Logger
    private let current = Mutex<CachedModel?>(nil)
    private var state: StateDirectory { StateDirectory(directory: directory) }

    /// On a directory with the marker. A model whose manifest is there is recovered, at the next opening if it cannot
    /// be now; one that can never be read again is dropped.
    ///
    /// - Parameter hasFixedLimit: a mount does not grow with its model.
    init(
        name: String, directory: String, kind: CacheDirectory.Kind, definitions: VolumeDefinitions?, medium: Medium,
        isMount: Bool, mounts: any TmpfsMounts, hasFixedLimit: Bool, visibility: VisibilityMode, logger: Logger
    ) throws(ChunkStoreError) {
        self.name = name
        self.directory = directory
        self.medium = medium
        self.isMount = isMount
        self.mounts = mounts
        self.kind = kind
        self.definitions = definitions
        self.hasFixedLimit = hasFixedLimit
        self.visibility = visibility
        self.logger = logger
        do throws(ChunkStoreError) {
            try recover()
        } catch {
            // Bytes are not given up for a reason that may pass: the volume is served, and an opening tries again.
            logger.error("model cannot be recovered yet", metadata: ["cache": "\(name)", "error": "\(error)"])
        }
    }

    /// The model that is open, or that can be taken up now; nil when there is none, and nothing is left then.
    private func recovered() throws(ChunkStoreError) -> CachedModel? {
        if let model, !model.isClosed { return model }
        current.withLock { $0 = nil }
        try recover()
        if model == nil { try clear() }
        return model
    }

    /// Takes up the cache that lies here. One that can never be read again is deleted; a later release's is left alone
    /// until somebody wants the model from this one.
    ///
    /// Errors: `.io`, `.mediumFull`: may be better next time.
    private func recover() throws(ChunkStoreError) {
        do throws(ChunkStoreError) {
            let manifest = try state.readManifest()
            if kind == .models, manifest.identity.directoryName != name {
                throw ChunkStoreError.corrupt(path: directory, why: "its manifest is another model's")
            }
            let model = try makeModel(manifest, fresh: false)
            current.withLock { $0 = model }
        } catch .corrupt(let path, let why) {
            if (try? state.manifest.exists()) != false {
                logger.error("model is fetched anew", metadata: ["path": "\(path)", "reason": "\(why)"])
            }
            // Also what a drop that died half-way has left.
            try clear()
        } catch .badKey(let key, let why) {
            logger.error("model is fetched anew", metadata: ["key": "\(key)", "reason": "\(why)"])
            try clear()
        } catch .keyCollision(let key, let other) {
            logger.error("model is fetched anew", metadata: ["key": "\(key)", "reason": "it collides with \(other)"])
            try clear()
        } catch .newer(let path, let version, let known) {
            logger.error(
                "a later release's model lies here",
                metadata: ["path": "\(path)", "version": "\(version)", "known": "\(known)"])
        }
    }

    /// The hard limit of a volume for a model of so many bytes: each file rounds up to 2 MiB and has a presence file of
    /// 2 MiB, of which there are few; a 256th and 64 MiB hold those of a thousand files of 64 MiB. Where a listing
    /// shows that more is needed the limit grows when the model is opened.
    public static func limitBytes(forModelBytes bytes: UInt64) -> UInt64 {
        let page = Manifest.hugePageBytes
        let rounded = (min(bytes, 1 << 60) + page - 1) / page * page
        return rounded + rounded / 256 / page * page + 32 * page
    }

    /// Whether a model lies here, be it one that cannot be taken up now. Errors: `.io` when it cannot be told.
    var holdsModel: Bool { get throws(ChunkStoreError) { model != nil ? true : try state.manifest.exists() } }

    /// The model whose files lie here; nil before the first opening and after a drop.
    public var model: CachedModel? { current.withLock { $0 } }

    /// Makes the files of `manifest`, or gives the model that is there. One that could not be recovered at the start,
    /// or that a failed update has closed, is tried once more. The model may have other files of the source than
    /// `manifest`: `CachedModel.update` makes them these. Another source's are dropped.
    ///
    /// Errors: `.io`, `.mediumFull`.
    public func open(_ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        if let model = try recovered() {
            if model.manifest.identity == manifest.identity { return model }
            try drop()
        }
        if isMount, !hasFixedLimit { try ModelMount.grow(directory, to: ModelMount.neededBytes(manifest), by: mounts) }
        try state.describe(manifest)
        let made: CachedModel
        do throws(ChunkStoreError) { made = try makeModel(manifest, fresh: true) } catch {
            // Another listing may fit where this one did not.
            try? clear()
            throw error
        }
        current.withLock { $0 = made }
        return made
    }

    /// Gives up the model's bytes. Volume and definition stay; readers keep the pages of files they have open.
    ///
    /// Errors: `.io`.
    public func drop() throws(ChunkStoreError) {
        // Not under the lock: it blocks on the file system, and others ask for the model meanwhile.
        let model = model
        model?.stop()
        current.withLock { $0 = nil }
        try clear()
        model?.letGo()
    }

    /// Makes space for a model of so many bytes; never less than there was.
    public func grow(toModelBytes bytes: UInt64) throws(ChunkStoreError) {
        if isMount { try ModelMount.grow(directory, to: CacheVolume.limitBytes(forModelBytes: bytes), by: mounts) }
    }

    /// Writes the definition that the volume was prepared for, completely or not at all; not within ``directory``.
    ///
    /// - Precondition: a prepared cache, here and for ``readDefinition()``.
    public func writeDefinition(_ data: Data) throws(ChunkStoreError) { try prepared.write(data, for: name) }

    public func readDefinition() throws(ChunkStoreError) -> Data { try prepared.read(name) }

    private var prepared: VolumeDefinitions {
        guard let definitions else { preconditionFailure("only a prepared cache has a definition") }
        return definitions
    }

    /// `.modelcache/agent.sock`
    public var socketPath: String { "\(state.path)/agent.sock" }

    private func makeModel(_ manifest: Manifest, fresh: Bool) throws(ChunkStoreError) -> CachedModel {
        try CachedModel(
            id: name, directory: directory, manifest: manifest, medium: medium, isMount: isMount,
            mounts: mounts, visibility: visibility, fresh: fresh, logger: logger)
    }

    /// The manifest first: what lies here without one is known to be remains.
    private func clear() throws(ChunkStoreError) {
        let gone = state.manifest.unlink()
        if gone < 0 && gone != -ENOENT { throw .from(Int(gone), "remove", "\(state.manifest)") }
        for name in try FolderListing.names(in: directory) where name != MC_STATE_DIRECTORY {
            try InnerPath(directory, name).removeAll()
        }
    }
}
