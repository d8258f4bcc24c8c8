import Glibc

/// Notices that trusted authorities have changed.
///
/// The file and the folders themselves are looked at each time. A folder's own times tell of names that come and go,
/// not of a file below it that is written anew, or that a link leads to elsewhere: the files that OpenSSL reads are
/// looked at once a second. 140 of them, as Debian has, take some 0.2 ms.
struct AuthorityWatch {
    /// Differs when the file or folder is another one, or was written.
    private struct Stamp: Equatable {
        let node: UInt
        let size: Int
        let written: [Int]

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            (node, size) = (UInt(status.st_ino), Int(status.st_size))
            // A copy may have its original's time of writing; the time of a change is the kernel's alone.
            written = [
                status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
            ]
        }
    }

    private let file: String?
    private let folders: [String]
    private var places: [Stamp?]?
    /// Absolute.
    private var names: [String] = []
    private var files: [Stamp?] = []
    private var lastLook = ContinuousClock.now

    private static let interval = Duration.seconds(1)

    /// `folder`: several with colons between.
    init(file: String?, folder: String?) {
        self.file = file
        folders = folder?.split(separator: ":").map(String.init) ?? []
    }

    /// Whether the authorities are others than at the last call, or the call is the first. They are to be read after
    /// it.
    mutating func hasChanged(now: ContinuousClock.Instant) -> Bool {
        let current = ([file].compactMap { $0 } + folders).map { Stamp($0) }
        if current == places {
            guard lastLook.duration(to: now) >= Self.interval else { return false }
            lastLook = now
            let written = names.map { Stamp($0) }
            defer { files = written }
            return written != files
        }
        places = current
        lastLook = now
        names = folders.flatMap(Self.authorities)
        files = names.map { Stamp($0) }
        return true
    }

    /// The files that OpenSSL looks up by a certificate's subject, such as `4a6481c9.0`.
    private static func authorities(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let offset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0
            let name = String(cString: UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self))
            let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].count == 8, !parts[1].isEmpty,
                parts[1].allSatisfy({ (0x30...0x39).contains($0) })
            else { continue }
            found.append("\(folder)/\(name)")
        }
        return found.sorted()
    }
}
