internal import FoundationEssentials
internal import Glibc
internal import LinuxShim

/// Removes directories that the cache made, and nothing else.
enum OwnedDirectory {
    /// Names that a removal gives before it deletes: what bears one after a crash is deleted by the next start.
    static let asidePrefix = ".evicting-"

    /// Unmounts our mount, or renames the directory aside and deletes it, so that a crash half-way leaves a name that says
    /// so. Remains of a start that died before the marker go too.
    ///
    /// Errors: `.notOurs` when neither the marker nor the mount's source says that it is ours; `.io`.
    static func remove(_ directory: String, in parent: String) throws(ChunkStoreError) {
        let state = StateDirectory(directory: directory)
        let ours = try state.isOurs()
        switch ModelMount.standing(of: directory, parent: parent) {
        case .none where ours:
            let aside = "\(asidePrefix)\(UUID().uuidString)"
            if rename(directory, "\(parent)/\(aside)") != 0 { throw .from(Int(-errno), "rename", directory) }
            try delete(aside, in: parent)
            return
        case .none:
            state.clearBeginnings()
        case .foreign where !ours:
            throw .notOurs(path: directory)
        case .ours, .foreign:
            let result = mc_unmount_detached(directory)
            if result < 0 { throw .from(Int(result), "unmount", directory) }
        }
        if rmdir(directory) != 0 && errno != ENOENT {
            if errno == ENOTEMPTY || errno == ENOTDIR { throw .notOurs(path: directory) }
            throw .from(Int(-errno), "remove directory", directory)
        }
    }

    /// Symbolic links inside are removed, not followed.
    static func delete(_ name: String, in parent: String) throws(ChunkStoreError) {
        try InnerPath("\(parent)/.", name).removeAll()
    }
}
