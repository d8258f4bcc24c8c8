/// One object of a listing.
public struct StoredObject: Sendable, Hashable {
    /// The full key in the bucket, prefix included, decoded.
    public let key: String
    /// Bytes.
    public let size: UInt64
    /// The entity tag without its quotes; what `ObjectRange.etag` wants.
    public let etag: String
    /// Seconds since 1970 (UTC), nil when the store did not say.
    public let lastModified: Int64?

    public init(key: String, size: UInt64, etag: String, lastModified: Int64?) {
        self.key = key
        self.size = size
        self.etag = etag
        self.lastModified = lastModified
    }
}

/// Everything under a prefix at the moment of listing, sorted by the store (UTF-8 byte order of keys).
public struct ObjectListing: Sendable, Hashable {
    /// The objects, empty ones included, "directory" keys not.
    public var objects: [StoredObject]
    /// Keys that end in `/` and hold nothing: consoles write them to show folders.
    public var directories: [String]

    public init(objects: [StoredObject] = [], directories: [String] = []) {
        self.objects = objects
        self.directories = directories
    }
}

/// What a HEAD says of an object.
public struct ObjectHead: Sendable, Hashable {
    public let key: String
    /// Bytes.
    public let size: UInt64
    /// The entity tag without its quotes.
    public let etag: String
    /// Seconds since 1970 (UTC).
    public let lastModified: Int64?
    /// OSS: `x-oss-hash-crc64ecma`, CRC-64/XZ of the whole object.
    public let crc64ECMA: UInt64?
    /// S3: `x-amz-checksum-crc64nvme` of the full object (not of a composite), 8 bytes.
    public let crc64NVME: UInt64?
    /// S3: `x-amz-checksum-sha256` of the full object, 32 bytes.
    public let sha256: [UInt8]?
    /// The object's MD5, 16 bytes, when the entity tag is one: no multipart upload, no KMS encryption, and for OSS
    /// `x-oss-object-type: Normal`.
    public let md5: [UInt8]?

    public init(
        key: String, size: UInt64, etag: String, lastModified: Int64? = nil, crc64ECMA: UInt64? = nil,
        crc64NVME: UInt64? = nil, sha256: [UInt8]? = nil, md5: [UInt8]? = nil
    ) {
        self.key = key
        self.size = size
        self.etag = etag
        self.lastModified = lastModified
        self.crc64ECMA = crc64ECMA
        self.crc64NVME = crc64NVME
        self.sha256 = sha256
        self.md5 = md5
    }
}

/// A range of one version of an object.
public struct ObjectRange: Sendable, Hashable {
    /// The full key in the bucket.
    public var key: String
    /// The entity tag of the version that is wanted (sent as `If-Match`), without quotes.
    public var etag: String
    /// Bytes in the whole object: a `Content-Range` that says otherwise is refused.
    public var objectSize: UInt64
    /// First byte.
    public var offset: UInt64
    /// Bytes, at least 1; `offset + length` at most `objectSize`.
    public var length: UInt64

    public init(key: String, etag: String, objectSize: UInt64, offset: UInt64, length: UInt64) {
        self.key = key
        self.etag = etag
        self.objectSize = objectSize
        self.offset = offset
        self.length = length
    }
}
