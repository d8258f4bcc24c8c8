internal import Crypto
internal import TextCoding

/// The objects of a source at the moment of listing, as one short text that two parties compare.
///
/// SHA-256 over one line for each object, `<key below the prefix>\0<size>\0<entity tag>\n`, sorted by the keys' UTF-8
/// bytes. The operator computes it when it resolves a ModelCache, an agent from the copy it holds: equal digests mean
/// the same objects in the same versions, whatever order a store lists them in.
public struct SourceDigest: Sendable, Hashable, CustomStringConvertible {
    /// One object of the source.
    public struct Entry: Sendable, Hashable {
        /// The key below the location's prefix.
        public let relativeKey: String
        /// Bytes.
        public let size: UInt64
        /// The entity tag without its quotes.
        public let etag: String

        public init(relativeKey: String, size: UInt64, etag: String) {
            self.relativeKey = relativeKey
            self.size = size
            self.etag = etag
        }
    }

    /// `sha256:` and 64 hexadecimal digits.
    public let description: String

    public init(of entries: some Sequence<Entry>) {
        let lines = entries.map { entry in (key: Array(entry.relativeKey.utf8), entry: entry) }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
        var hash = SHA256()
        for line in lines {
            hash.update(data: line.key)
            hash.update(data: Array("\0\(line.entry.size)\0\(line.entry.etag)\n".utf8))
        }
        description = "sha256:" + Hex.encode(hash.finalize())
    }
}
