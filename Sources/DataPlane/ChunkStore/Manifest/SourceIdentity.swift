internal import Crypto
internal import FoundationEssentials
internal import TextCoding

/// Where a model's objects come from. Two manifests with one identity are two versions of one model.
public struct SourceIdentity: Codable, Hashable, Sendable {
    /// Canonical endpoint: scheme, lower-case host, port if not the default; no path, no user.
    public var endpoint: String
    public var bucket: String
    /// Key prefix, empty or ending in `/`.
    public var prefix: String

    public init(endpoint: String, bucket: String, prefix: String) {
        self.endpoint = endpoint
        self.bucket = bucket
        self.prefix = prefix
    }

    /// `<name>-<16 hex>`: a name for people from the last part of the prefix (or the bucket), and the first
    /// 8 bytes of SHA-256 over the identity.
    public var directoryName: String {
        let last = prefix.split(separator: "/").last.map(String.init) ?? bucket
        let safe = last.unicodeScalars.prefix(64).map { scalar -> Character in
            let plain = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            return plain || scalar == "_" || scalar == "." ? Character(scalar) : "-"
        }
        let trimmed = String(safe).drop { $0 == "." || $0 == "-" }
        return "\(trimmed.isEmpty ? "model" : trimmed)-\(hex)"
    }

    /// 16 lower-case hex digits.
    private var hex: String {
        var hash = SHA256()
        for part in [endpoint, bucket, prefix] { hash.update(field: part) }
        return Hex.encode(hash.finalize().prefix(8))
    }
}

extension SHA256 {
    /// A string with its length before it, so that no two lists of fields look alike.
    mutating func update(field: String) {
        let bytes = Array(field.utf8)
        update(number: UInt64(bytes.count))
        update(data: bytes)
    }

    mutating func update(number: UInt64) {
        withUnsafeBytes(of: number.littleEndian) { update(bufferPointer: $0) }
    }
}
