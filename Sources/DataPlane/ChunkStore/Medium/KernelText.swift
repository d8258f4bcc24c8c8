internal import Glibc
internal import LinuxShim

/// Files of /proc and /sys: they say they are empty and are read to their end.
enum KernelText {
    static func read(_ path: String) -> String? {
        let fd = mc_openat(MC_AT_CWD, path, 0, 0)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let n = mc_pread_all(fd, &buffer, buffer.count, UInt64(bytes.count))
            if n < 0 { return nil }
            bytes += buffer.prefix(n)
            if n < buffer.count { return String(decoding: bytes, as: UTF8.self) }
        }
    }

    /// A file of one number. nil: there is none, or it says "max".
    static func number(_ path: String) -> UInt64? {
        read(path).flatMap { UInt64($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }

    /// The number after `name` in a file of lines "name number ...", colon and tabs or not.
    static func number(_ name: String, in text: String) -> UInt64? {
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == ":" })
            if words.count >= 2, words[0] == name { return UInt64(words[1]) }
        }
        return nil
    }
}
