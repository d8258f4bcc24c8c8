/// Which object keys below a prefix can be files. A pure value.
///
/// A key is any text to a store; a path has empty, `.` and `..` parts of its own meaning, a NUL at its end, and a limit
/// on each part. Everything here goes by bytes, as the file system does: to Swift a slash before a combining mark is
/// another character, and two normalisation forms of one text are equal.
///
/// The listing leaves out and names a key that cannot be a file. The cache refuses it, since a manifest on a disk or
/// from a peer may say anything: no key may climb out of the cache's directory or take the place of its own files.
public enum KeyRules {
    /// Names at the top of a cache's directory that are the cache's own (agent_wire.h).
    public static let reserved = [".partial", ".presence", ".modelcache"]
    /// NAME_MAX of every Linux file system in use, in bytes.
    public static let longestPart = 255
    /// PATH_MAX is 4096; the cache's directory needs its share. Stores allow 1024.
    public static let longestKey = 3000

    private static let slash = UInt8(ascii: "/")

    /// The text between slashes, empty parts included.
    public static func parts(_ key: String) -> [Substring] {
        key.utf8.split(separator: slash, omittingEmptySubsequences: false).map { Substring($0) }
    }

    /// The bytes of each folder that the key lies in, the outermost first, without the slash at the end.
    public static func folders(_ key: [UInt8]) -> [ArraySlice<UInt8>] {
        key.indices.filter { key[$0] == slash }.map { key[..<$0] }
    }

    /// Why the key cannot be a file, as the end of "it ...", or nil.
    public static func problem(with key: String) -> String? {
        if key.isEmpty { return "has the prefix itself as its name" }
        if key.utf8.count > longestKey { return "is longer than \(longestKey) bytes" }
        if key.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { return "has a control character" }
        if key.utf8.last == slash { return "ends in a slash, as folders do, and yet holds bytes" }
        let parts = parts(key)
        for part in parts {
            if part.isEmpty { return "has two slashes in a row" }
            if part == "." || part == ".." { return "has the part \"\(part)\"" }
            if part.utf8.count > longestPart { return "has a part longer than \(longestPart) bytes" }
        }
        if let first = parts.first, reserved.contains(String(first)) {
            return "begins with \(first), a folder of the cache itself"
        }
        return nil
    }
}
