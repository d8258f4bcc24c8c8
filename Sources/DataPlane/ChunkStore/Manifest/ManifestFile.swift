/// One object of the model.
public struct ManifestFile: Hashable, Sendable {
    /// Key below the model's prefix; checked by `Manifest.init`.
    public var key: String
    /// Bytes.
    public var size: UInt64
    /// As the store gave it, with its quotes removed.
    public var etag: String
    /// The store's checksums of the complete object. Not part of the generation, because some of it is learnt
    /// only from a HEAD or the first GET (`CachedFile.learn`).
    public var checksums: ObjectChecksums
    /// Seconds since 1970.
    public var lastModified: Int64?
    /// `mc_presence_header.file_index`: given by `Manifest`, the file's for as long as this version of it is in the
    /// cache.
    public internal(set) var index: UInt32 = 0
    /// The set in which this version took another's place; 0: the key's first version in this cache.
    public internal(set) var replacedInSet: UInt64 = 0

    public init(
        key: String, size: UInt64, etag: String, checksums: ObjectChecksums = .init(), lastModified: Int64? = nil
    ) {
        self.key = key
        self.size = size
        self.etag = etag
        self.checksums = checksums
        self.lastModified = lastModified
    }
}

/// The checksums that a store offers for a complete object. The first that is there is used, in the order of the
/// fields.
public struct ObjectChecksums: Codable, Hashable, Sendable {
    /// `x-oss-hash-crc64ecma`.
    public var crc64: UInt64?
    /// `x-amz-checksum-crc64nvme` of checksum type FULL_OBJECT, as the next four are.
    public var crc64nvme: UInt64?
    /// `x-amz-checksum-sha256`, 64 lower-case hex digits.
    public var sha256: String?
    /// `x-amz-checksum-sha1`, 40 lower-case hex digits.
    public var sha1: String?
    /// `x-amz-checksum-crc32c`.
    public var crc32c: UInt32?
    /// `x-amz-checksum-crc32`.
    public var crc32: UInt32?
    /// 32 lower-case hex digits: an S3 ETag of an object put in one part without SSE-KMS or SSE-C. Not every store
    /// makes such tags of the bytes, so this one alone ends no reader.
    public var md5: String?
    /// Where there is no checksum of the complete object.
    public var parts: PartDigest?

    public init(
        crc64: UInt64? = nil, crc64nvme: UInt64? = nil, sha256: String? = nil, sha1: String? = nil,
        crc32c: UInt32? = nil,
        crc32: UInt32? = nil, md5: String? = nil, parts: PartDigest? = nil
    ) {
        self.crc64 = crc64
        self.crc64nvme = crc64nvme
        self.sha256 = sha256
        self.sha1 = sha1
        self.crc32c = crc32c
        self.crc32 = crc32
        self.md5 = md5
        self.parts = parts
    }

    /// Fields that `other` has replace ours.
    mutating func merge(_ other: ObjectChecksums) {
        crc64 = other.crc64 ?? crc64
        crc64nvme = other.crc64nvme ?? crc64nvme
        sha256 = other.sha256 ?? sha256
        sha1 = other.sha1 ?? sha1
        crc32c = other.crc32c ?? crc32c
        crc32 = other.crc32 ?? crc32
        md5 = other.md5 ?? md5
        parts = other.parts ?? parts
    }

    /// An entity tag is all there is.
    var isTagAlone: Bool { isWeak && md5 != nil }

    /// Nothing is there that proves bytes wrong: an entity tag at most.
    var isWeak: Bool {
        crc64 == nil && crc64nvme == nil && sha256 == nil && sha1 == nil && crc32c == nil && crc32 == nil
            && parts == nil
    }
}

extension ObjectChecksums {
    /// One checksum of a complete object.
    public enum Deciding: Hashable, Sendable {
        case crc64(UInt64)
        case crc64nvme(UInt64)
        case sha256(String)
        case sha1(String)
        case crc32c(UInt32)
        case crc32(UInt32)
        case parts(PartDigest)
        case md5(String)

        /// Nobody can make two objects that have it in common: it is a SHA-256, or made of them.
        public var isCollisionResistant: Bool {
            switch self {
            case .sha256: true
            case .parts(let parts): parts.kind == .sha256
            case .crc64, .crc64nvme, .sha1, .crc32c, .crc32, .md5: false
            }
        }
    }

    /// The one by which a file is verified; nil: the store offers none.
    public var deciding: Deciding? {
        if let crc64 { return .crc64(crc64) }
        if let crc64nvme { return .crc64nvme(crc64nvme) }
        if let sha256 { return .sha256(sha256) }
        if let sha1 { return .sha1(sha1) }
        if let crc32c { return .crc32c(crc32c) }
        if let crc32 { return .crc32(crc32) }
        if let parts { return .parts(parts) }
        return md5.map { .md5($0) }
    }
}

/// The digest of the digests of an object's parts: `x-amz-checksum-sha256` or `-sha1` of checksum type COMPOSITE.
public struct PartDigest: Codable, Hashable, Sendable {
    public enum Kind: String, Codable, Sendable {
        case sha256
        case sha1
    }

    /// So many parts of one size in a row: uploads have one size for all but the last.
    public struct Run: Codable, Hashable, Sendable {
        /// Of each part.
        public var bytes: UInt64
        public var count: Int
    }

    public var kind: Kind
    /// Lower-case hex digits.
    public var digest: String
    public var runs: [Run]

    public init(kind: Kind, digest: String, sizes: [UInt64]) {
        self.kind = kind
        self.digest = digest
        runs = []
        for size in sizes {
            if let last = runs.indices.last, runs[last].bytes == size {
                runs[last].count += 1
            } else {
                runs.append(Run(bytes: size, count: 1))
            }
        }
    }
}
