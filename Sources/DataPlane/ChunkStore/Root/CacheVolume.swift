public import FoundationEssentials
internal import AgentWire
internal import Glibc
internal import LinuxShim
internal import Logging
internal import Synchronization

/// One prepared cache: a directory that holds one model's files, before it has any and after they went.
public final class CacheVolume: Sendable {
    /// The last component of ``directory``.
    public let name: String
    /// Absolute path; itself the mount point where the volume is a mount.
    public let directory: String
    public let medium: Medium
    /// Whether it is a tmpfs of its own, with a hard size limit.
    public let isMount: Bool

    private let definitions: VolumeDefinitions
    private let visibility: VisibilityMode
    private let bootID: String
    private let logger: Logger
    private let current = Mutex<CachedModel?>(nil)
    private var state: StateDirectory { StateDirectory(directory: directory) }

    /// On a directory with the marker. A model whose manifest is there is recovered; one that cannot be is dropped, for its
    /// bytes can be had again.
    init(
        name: String, directory: String, definitions: VolumeDefinitions, medium: Medium, isMount: Bool, visibility: VisibilityMode, bootID: String,
        logger: Logger
    ) throws(ChunkStoreError) {
        self.name = name
        self.directory = directory
        self.medium = medium
        self.isMount = isMount
        self.definitions = definitions
        self.visibility = visibility
        self.bootID = bootID
        self.logger = logger
        do throws(ChunkStoreError) {
            guard state.manifest.exists else { throw .corrupt(path: "\(state.manifest)", why: "it is missing") }
            let manifest = try state.readManifest()
            let model = try makeModel(manifest, fresh: false)
            current.withLock { $0 = model }
        } catch .corrupt(let path, let why) {
            if state.manifest.exists {
                logger.error("model is fetched anew", metadata: ["path": "\(path)", "reason": "\(why)"])
            }
            // Also what a drop that died half-way has left.
            try clear()
        }
    }

    /// The hard limit of a volume for a model of so many bytes: each file rounds up to 2 MiB and has a presence file of
    /// 2 MiB, of which there are few; a 256th and 64 MiB hold those of a thousand files of 64 MiB. Where a listing
    /// shows that more is needed the limit grows when the model is opened.
    public static func limitBytes(forModelBytes bytes: UInt64) -> UInt64 {
        let piece = Manifest.pieceBytes
        let rounded = (min(bytes, 1 << 60) + piece - 1) / piece * piece
        return rounded + rounded / 256 / piece * piece + 32 * piece
    }

    /// The model whose files lie here; nil before the first opening and after a drop.
    public var model: CachedModel? { current.withLock { $0 } }

    /// Makes the files of `manifest`, or gives the model that is there.
    ///
    /// Errors: `.otherGeneration` if another version lies here (drop it first), `.io`, `.mediumFull`.
    public func open(_ manifest: Manifest) throws(ChunkStoreError) -> CachedModel {
        if let model {
            if model.manifest.generation != manifest.generation { throw .otherGeneration(directory: directory) }
            return model
        }
        if isMount { try ModelMount.grow(directory, to: ModelMount.neededBytes(manifest)) }
        try state.describe(manifest)
        let made = try makeModel(manifest, fresh: true)
        current.withLock { $0 = made }
        return made
    }

    /// Gives up the model's bytes. Volume and definition stay; readers keep the pages of files they have open.
    ///
    /// Errors: `.io`.
    public func drop() throws(ChunkStoreError) {
        current.withLock { model in
            model?.stop()
            model = nil
        }
        try clear()
    }

    /// Makes room for a model of so many bytes; never less than there was.
    public func grow(toModelBytes bytes: UInt64) throws(ChunkStoreError) {
        if isMount { try ModelMount.grow(directory, to: CacheVolume.limitBytes(forModelBytes: bytes)) }
    }

    /// What the volume was prepared for; not within ``directory``. Whole or not at all.
    public func writeDefinition(_ data: Data) throws(ChunkStoreError) { try definitions.write(data, for: name) }

    public func readDefinition() throws(ChunkStoreError) -> Data { try definitions.read(name) }

    /// `.modelcache/agent.sock`
    public var socketPath: String { "\(state.path)/agent.sock" }

    private func makeModel(_ manifest: Manifest, fresh: Bool) throws(ChunkStoreError) -> CachedModel {
        try CachedModel(
            id: name, directory: directory, manifest: manifest, medium: medium, visibility: visibility, bootID: bootID,
            fresh: fresh, logger: logger)
    }

    /// The manifest first: what lies here without one is known to be remains.
    private func clear() throws(ChunkStoreError) {
        let gone = state.manifest.unlink()
        if gone < 0 && gone != -ENOENT { throw .from(Int(gone), "remove", "\(state.manifest)") }
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: directory) } catch {
            throw .io(operation: "list", path: directory, errno: EIO)
        }
        for name in names where name != MC_STATE_DIRECTORY { try InnerPath(directory, name).removeAll() }
    }
}
