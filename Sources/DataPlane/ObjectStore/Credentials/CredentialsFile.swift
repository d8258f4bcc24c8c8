import FoundationEssentials
import Glibc
package import TextCoding

/// The two shapes of a credentials file. Errors never show the contents.
package enum CredentialsFile {
    private struct Document: Decodable {
        var AccessKeyId: String
        var AccessKeySecret: String?
        var SecretAccessKey: String?
        var SecurityToken: String?
        var SessionToken: String?
        var Expiration: String?
    }

    /// Larger files are refused before they are read.
    package static let maximumBytes = 64 * 1024

    package static func read(_ path: String) throws(SettingError) -> StoreCredentials {
        do throws(Problem) {
            return try parse(bytes(of: path, limit: maximumBytes))
        } catch {
            throw SettingError(
                field: "OSS_CREDENTIALS_FILE", value: path, problem: error.text,
                remedy:
                    "write AccessKeyId and AccessKeySecret as JSON, or lines OSS_ACCESS_KEY_ID=... and OSS_ACCESS_KEY_SECRET=..."
            )
        }
    }

    /// The fault of a file, as half a sentence.
    package struct Problem: Error, Hashable {
        package let text: String
    }

    package static func parse(_ data: [UInt8]) throws(Problem) -> StoreCredentials {
        guard let text = String(validating: data, as: UTF8.self) else { throw Problem(text: "is not UTF-8") }
        let begin = text.unicodeScalars.first { !$0.properties.isWhitespace && $0 != "\u{feff}" }
        let read = begin == "{" ? try document(data) : try lines(text)
        guard !read.keyID.isEmpty, !read.secret.isEmpty else { throw Problem(text: "holds no key pair") }
        do throws(SettingError) {
            return try read.checked()
        } catch {
            throw Problem(text: "is wrong: \(error.field) \(error.problem)")
        }
    }

    private static func document(_ data: [UInt8]) throws(Problem) -> StoreCredentials {
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(data)) else {
            throw Problem(text: "is not the JSON that is wanted")
        }
        return StoreCredentials(
            keyID: document.AccessKeyId, secret: document.AccessKeySecret ?? document.SecretAccessKey ?? "",
            token: nonEmpty(document.SecurityToken ?? document.SessionToken),
            expiration: try expiration(document.Expiration))
    }

    /// `NAME=value` as a shell reads it: an `export` before, blanks around and one pair of quotes about the value are
    /// dropped; `#` begins a comment at a line's start alone, since a value may hold it. The last of two lines counts.
    private static func lines(_ text: String) throws(Problem) -> StoreCredentials {
        var values: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            var rest = trimmed(line)
            if rest.hasPrefix("\u{feff}") { rest = rest.dropFirst() }
            guard !rest.hasPrefix("#"), let equals = rest.firstIndex(of: "=") else { continue }
            var name = trimmed(rest[..<equals])
            if name.hasPrefix("export ") || name.hasPrefix("export\t") { name = trimmed(name.dropFirst(7)) }
            var value = trimmed(rest[rest.index(after: equals)...])
            if let quote = value.first, quote == "\"" || quote == "'", value.count >= 2, value.last == quote {
                value = value.dropFirst().dropLast()
            }
            values[String(name)] = String(value)
        }
        return StoreCredentials(
            keyID: values["OSS_ACCESS_KEY_ID"] ?? "", secret: values["OSS_ACCESS_KEY_SECRET"] ?? "",
            token: nonEmpty(values["OSS_SESSION_TOKEN"]),
            expiration: try expiration(values["OSS_CREDENTIALS_EXPIRATION"]))
    }

    /// An expiry that cannot be read is an error: taken for none, the file would never be read again.
    private static func expiration(_ text: String?) throws(Problem) -> Int64? {
        guard let text = nonEmpty(text) else { return nil }
        guard let time = UTCTime(iso8601: text) else {
            throw Problem(text: "has an expiry that is not written as 2026-11-21T05:43:40Z")
        }
        return time.seconds
    }

    private static func nonEmpty(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }

    private static func trimmed(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " || $0 == "\t" }
        return start[
            ..<(start.lastIndex { $0 != " " && $0 != "\t" }.map { start.index(after: $0) } ?? start.startIndex)]
    }

    /// The content of a small regular file.
    static func bytes(of path: String, limit: Int) throws(Problem) -> [UInt8] {
        func failed() -> Problem { Problem(text: "cannot be read: \(String(cString: strerror(errno)))") }
        // Without O_NONBLOCK, opening a FIFO would wait for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failed() }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw failed() }
        guard facts.st_mode & S_IFMT == S_IFREG else { throw Problem(text: "is not a regular file") }
        var bytes = [UInt8](repeating: 0, count: limit + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw failed() }
            guard got > 0 else { break }
            count += got
        }
        guard count <= limit else { throw Problem(text: "is larger than \(limit >> 10) KiB") }
        return Array(bytes[..<count])
    }
}
