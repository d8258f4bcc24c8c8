internal import Glibc

/// One bucket: the regular files under a directory. Their paths are the keys.
package struct BucketTree: Sendable {
    package let name: String
    /// Resolved: no symbolic link in it, no slash at its end.
    package let root: String

    /// Files that the store keeps beside the objects and never lists or serves.
    static let reservedPrefix = ".devstore-"

    /// Nil when the directory does not exist.
    package init?(name: String, directory: String) {
        guard let real = Self.resolve(directory) else { return nil }
        self.name = name
        self.root = real
    }

    /// The file of a key; nil for keys that would leave the bucket or name no file.
    package func path(key: String) -> String? {
        guard !key.isEmpty, key.utf8.count <= 1023, !key.utf8.contains(0) else { return nil }
        var first = true
        for part in key.split(separator: "/", omittingEmptySubsequences: false) {
            if part.isEmpty || part == "." || part == ".." { return nil }
            if first, part.hasPrefix(Self.reservedPrefix) { return nil }
            first = false
        }
        return root + "/" + key
    }

    /// As ``path(key:)``, for an existing file whose resolved path is inside the bucket.
    package func existing(key: String) -> String? {
        guard let path = path(key: key), let real = Self.resolve(path), real.hasPrefix(root + "/") else { return nil }
        return real
    }

    /// Every key in byte order with the file's state. Links that leave the bucket are skipped.
    package func objects(prefix: String) -> [StoredObject] {
        var out: [StoredObject] = []
        // Only the directory of the prefix can have matches.
        let folder = prefix.lastIndex(of: "/").map { String(prefix[..<$0]) } ?? ""
        if !folder.isEmpty, existing(key: folder) == nil { return [] }
        walk(folder, prefix: prefix, depth: 0, into: &out)
        out.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        return out
    }

    private func walk(_ folder: String, prefix: String, depth: Int, into out: inout [StoredObject]) {
        guard depth < 64, let stream = opendir(folder.isEmpty ? root : root + "/" + folder) else { return }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let name, name != ".", name != "..", !(depth == 0 && name.hasPrefix(Self.reservedPrefix)) else {
                continue
            }
            let key = folder.isEmpty ? name : folder + "/" + name
            // Either may be the longer one: the prefix can end inside a name or inside a folder.
            guard starts(key, prefix) || starts(prefix, key + "/") else { continue }
            var state = stat()
            guard lstat(root + "/" + key, &state) == 0 else { continue }
            if state.st_mode & S_IFMT == S_IFLNK {
                guard let real = existing(key: key), stat(real, &state) == 0 else { continue }
            }
            if state.st_mode & S_IFMT == S_IFDIR {
                walk(key, prefix: prefix, depth: depth + 1, into: &out)
            } else if state.st_mode & S_IFMT == S_IFREG, starts(key, prefix) {
                out.append(StoredObject(key: key, state: FileState(state)))
            }
        }
    }

    private func starts(_ text: String, _ prefix: String) -> Bool { text.utf8.starts(with: prefix.utf8) }

    static func resolve(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(validatingCString: real)
    }
}

/// Identifies a file's content without reading it.
package struct FileState: Sendable, Hashable {
    package var inode: UInt64
    package var size: Int64
    package var modifiedNanoseconds: Int64

    package init(inode: UInt64, size: Int64, modifiedNanoseconds: Int64) {
        self.inode = inode
        self.size = size
        self.modifiedNanoseconds = modifiedNanoseconds
    }

    init(_ state: stat) {
        inode = UInt64(state.st_ino)
        size = Int64(state.st_size)
        modifiedNanoseconds = Int64(state.st_mtim.tv_sec) * 1_000_000_000 + Int64(state.st_mtim.tv_nsec)
    }

    package var modifiedSeconds: Int64 { modifiedNanoseconds / 1_000_000_000 }
}

package struct StoredObject: Sendable {
    package var key: String
    package var state: FileState
    package init(key: String, state: FileState) {
        self.key = key
        self.state = state
    }
}
