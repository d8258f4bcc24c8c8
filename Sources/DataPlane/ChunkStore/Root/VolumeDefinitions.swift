internal import FoundationEssentials
internal import Glibc

/// The definition that each volume was prepared for: `<root>/definitions/<name>.json`, for the agent alone.
///
/// Not in the volumes: pods have those mounted, and one that may write there must not be able to say whom a restarted
/// agent serves or from where it fills. A pod can write to its volume, so the agent trusts nothing that lies in it:
/// writers can spoil their own cache and nobody else's.
struct VolumeDefinitions: Sendable {
    /// `<root>/definitions`
    let path: String

    init(root: String) { path = "\(root)/definitions" }

    private static let suffix = ".json"
    private static let asideSuffix = ".damaged"

    private func file(_ name: String) -> InnerPath { InnerPath(path, name + Self.suffix) }
    private func asideFile(_ name: String) -> InnerPath { file(name).appending(Self.asideSuffix) }

    /// Errors: `.io` when it cannot be told.
    func exists(_ name: String) throws(ChunkStoreError) -> Bool { try file(name).exists() }

    /// Whether the volume's definition could not be understood by an earlier start. Errors: `.io` when it cannot be
    /// told.
    func isAside(_ name: String) throws(ChunkStoreError) -> Bool { try asideFile(name).exists() }

    func read(_ name: String) throws(ChunkStoreError) -> Data { try SmallFile.read(file(name)) }

    /// Whole or not at all; takes the place of one that is aside.
    func write(_ data: Data, for name: String) throws(ChunkStoreError) {
        if mkdir(path, 0o700) != 0 && errno != EEXIST { throw .from(Int(-errno), "create directory", path) }
        try SmallFile.write(data, to: file(name))
        _ = asideFile(name).unlink()
    }

    func setAside(_ name: String) { _ = file(name).rename(to: asideFile(name)) }

    /// Errors: `.io`.
    func remove(_ name: String) throws(ChunkStoreError) {
        for file in [asideFile(name), file(name)] {
            let gone = file.unlink()
            if gone < 0 && gone != -ENOENT { throw .from(Int(gone), "remove", "\(file)") }
        }
    }

    /// Removes those of volumes that are not there any more, and what a crash left half written.
    func sweep(keeping names: Set<String>) {
        let kept = Set(names.flatMap { [$0 + Self.suffix, $0 + Self.suffix + Self.asideSuffix] })
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where !kept.contains(name) {
            _ = InnerPath(path, name).unlink()
        }
    }
}
