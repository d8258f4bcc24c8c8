internal import Glibc

/// Texts of /proc and /sys. Their files say that they are empty and must be read to their end: Foundation's readers
/// give the first page of a longer one.
public enum KernelText {
    /// Nil: the file cannot be opened or read.
    public static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }

    /// A file of one number. Nil: there is none, or it says "max".
    public static func number(_ path: String) -> UInt64? {
        read(path).flatMap { UInt64($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }

    /// The number after `name` in a file of lines "name number ...", colon and tabs or not.
    public static func number(_ name: String, in text: String, radix: Int = 10) -> UInt64? {
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == ":" })
            if words.count >= 2, words[0] == name { return UInt64(words[1], radix: radix) }
        }
        return nil
    }
}
