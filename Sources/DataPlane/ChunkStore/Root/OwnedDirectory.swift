internal import FoundationEssentials
internal import Glibc
internal import LinuxShim

/// Removes directories that the cache made, and nothing else.
enum OwnedDirectory {
    /// Names that a removal gives before it deletes: what bears one after a crash is deleted by the next start.
    static let asidePrefix = ".evicting-"

    /// Makes the directory if need be (0755), and sees that caches can be made in it.
    ///
    /// Errors: `.rootNotWritable`.
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

    /// Unmounts our mount, or renames the directory aside and deletes it, so that a crash half-way leaves a name that
    /// says so. Remains of a start that died before the marker go too, and so does what an earlier removal of the name
    /// could not delete. Nothing when there is nothing.
    ///
    /// Errors: `.notOurs` when neither the marker nor the mount's source says that it is ours; `.io`.
    static func remove(_ name: String, in parent: String, by mounts: any TmpfsMounts) throws(ChunkStoreError) {
        try removeOne(name, in: parent, by: mounts)
        try deleteAsides(of: name, in: parent)
    }

    private static func removeOne(
        _ name: String, in parent: String, by mounts: any TmpfsMounts
    ) throws(ChunkStoreError) {
        let directory = "\(parent)/\(name)"
        let state = StateDirectory(directory: directory)
        let ours = try state.isOurs()
        switch ModelMount.standing(of: directory, parent: parent) {
        case .none where ours:
            let renamed = aside(name) + UUID().uuidString
            if rename(directory, "\(parent)/\(renamed)") != 0 { throw .from(Int(-errno), "rename", directory) }
            try delete(renamed, in: parent)
            return
        case .none:
            state.clearBeginnings()
        case .foreign where !ours:
            throw .notOurs(path: directory)
        case .ours, .foreign:
            let result = try mounts.unmount(directory)
            if result < 0 { throw .from(Int(result), "unmount", directory) }
        }
        if rmdir(directory) != 0 && errno != ENOENT {
            if errno == ENOTEMPTY || errno == ENOTDIR { throw .notOurs(path: directory) }
            throw .from(Int(-errno), "remove directory", directory)
        }
    }

    /// Deletes what removals of this name have renamed and could not delete.
    private static func deleteAsides(of name: String, in parent: String) throws(ChunkStoreError) {
        let beginning = aside(name)
        let length = beginning.utf8.count + UUID().uuidString.utf8.count
        for found in try FolderListing.names(in: parent)
        where found.hasPrefix(beginning) && found.utf8.count == length { try delete(found, in: parent) }
    }

    private static func aside(_ name: String) -> String { "\(asidePrefix)\(name)." }

    /// Symbolic links inside are removed, not followed.
    static func delete(_ name: String, in parent: String) throws(ChunkStoreError) {
        try InnerPath("\(parent)/.", name).removeAll()
    }
}
