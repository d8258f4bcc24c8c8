/// One object of the model.
public struct ManifestFile: Codable, Hashable, Sendable {
    /// Key below the model's prefix; checked by `Manifest.init`.
    public var key: String
    /// Bytes.
    public var size: UInt64
    /// As the store gave it, with its quotes removed.
    public var etag: String
    /// What the store says of the whole object's bytes. Not part of the generation, because some of it is learnt
    /// only from a HEAD or the first GET (`CachedFile.learn`).
    public var checksums: ObjectChecksums
    /// Seconds since 1970.
    public var lastModified: Int64?

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

/// What a store offers to check a whole object with. The first that is there is used: crc64, crc64nvme, md5.
public struct ObjectChecksums: Codable, Hashable, Sendable {
    /// `x-oss-hash-crc64ecma`.
    public var crc64: UInt64?
    /// `x-amz-checksum-crc64nvme` of checksum type FULL_OBJECT.
    public var crc64nvme: UInt64?
    /// 32 lower-case hex digits. An S3 ETag is one only for objects put in one part without SSE-KMS or SSE-C.
    public var md5: String?

    public init(crc64: UInt64? = nil, crc64nvme: UInt64? = nil, md5: String? = nil) {
        self.crc64 = crc64
        self.crc64nvme = crc64nvme
        self.md5 = md5
    }

    /// Fields that `other` has replace ours.
    mutating func merge(_ other: ObjectChecksums) {
        crc64 = other.crc64 ?? crc64
        crc64nvme = other.crc64nvme ?? crc64nvme
        md5 = other.md5 ?? md5
    }
}
