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
    /// As the store wrote it, such as `Standard` or `DEEP_ARCHIVE`; empty when it did not say.
    public let storageClass: String
    /// OSS: a link to another object (`<Type>Symlink</Type>`). The listing shows the link's own size and tag, HEAD and
    /// GET those of the other object.
    public let isSymlink: Bool

    public init(
        key: String, size: UInt64, etag: String, lastModified: Int64?, storageClass: String = "",
        isSymlink: Bool = false
    ) {
        self.key = key
        self.size = size
        self.etag = etag
        self.lastModified = lastModified
        self.storageClass = storageClass
        self.isSymlink = isSymlink
    }

    /// Whether GET is refused until the object is restored, unless the bucket allows archives to be read at once.
    ///
    /// OSS: https://www.alibabacloud.com/help/en/oss/user-guide/overview-53. S3: `GLACIER_IR` is read like any other,
    /// https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html.
    public var isArchived: Bool {
        switch storageClass.lowercased() {
        case "archive", "coldarchive", "deepcoldarchive", "glacier", "deep_archive": true
        default: false
        }
    }

    /// The same object with what HEAD says of it.
    func described(by head: ObjectHead) -> StoredObject {
        StoredObject(
            key: key, size: head.size, etag: head.etag, lastModified: head.lastModified ?? lastModified,
            storageClass: storageClass, isSymlink: isSymlink)
    }
}

/// Everything under a prefix at the moment of listing, sorted by the store (UTF-8 byte order of keys).
public struct ObjectListing: Sendable, Hashable {
    /// The objects, empty ones included, "directory" keys not.
    public var objects: [StoredObject]
    /// Keys that end in `/` and hold nothing: consoles write them to show folders.
    public var directories: [String]
    /// Names that are no text, as the store wrote them.
    public var unreadableKeys: [String]

    public init(objects: [StoredObject] = [], directories: [String] = [], unreadableKeys: [String] = []) {
        self.objects = objects
        self.directories = directories
        self.unreadableKeys = unreadableKeys
    }
}

/// The facts that a HEAD tells of an object.
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
    /// S3: `x-amz-checksum-sha1` of the full object, 20 bytes.
    public let sha1: [UInt8]?
    /// S3: `x-amz-checksum-crc32c` of the full object.
    public private(set) var crc32C: UInt32?
    /// S3: `x-amz-checksum-crc32` of the full object.
    public private(set) var crc32: UInt32?
    /// S3: the entity tag looks like the object's MD5, 16 bytes: no multipart upload, no KMS, no customer's key. A
    /// store may still have made it otherwise. Always nil for OSS, where an entity tag is no checksum.
    public let md5: [UInt8]?
    /// S3: what there is where no full object's checksum is.
    public let composite: CompositeChecksum?
    /// The sizes of the parts in their order, which a composite SHA-256 or SHA-1 needs; nil: it cannot be checked.
    public private(set) var partSizes: [UInt64]?
    /// `x-oss-storage-class` or `x-amz-storage-class`; empty when the store did not say, which is its standard class.
    public let storageClass: String
    /// `x-amz-restore` or `x-oss-restore`: what became of an archived object's restoration.
    public let restore: Restore?

    /// The state of an archived object.
    public enum Restore: Sendable, Hashable {
        case ongoing
        case restored
    }

    public init(
        key: String, size: UInt64, etag: String, lastModified: Int64? = nil, crc64ECMA: UInt64? = nil,
        crc64NVME: UInt64? = nil, sha256: [UInt8]? = nil, sha1: [UInt8]? = nil, crc32C: UInt32? = nil,
        crc32: UInt32? = nil, md5: [UInt8]? = nil, composite: CompositeChecksum? = nil,
        storageClass: String = "", restore: Restore? = nil
    ) {
        self.key = key
        self.size = size
        self.etag = etag
        self.lastModified = lastModified
        self.crc64ECMA = crc64ECMA
        self.crc64NVME = crc64NVME
        self.sha256 = sha256
        self.sha1 = sha1
        self.crc32C = crc32C
        self.crc32 = crc32
        self.md5 = md5
        self.composite = composite
        self.storageClass = storageClass
        self.restore = restore
    }
}

extension ObjectHead {
    /// A checksum of the complete object, which is no entity tag.
    var hasFullChecksum: Bool {
        crc64ECMA != nil || crc64NVME != nil || sha256 != nil || sha1 != nil || crc32C != nil || crc32 != nil
    }

    /// The same with what the parts tell: a CRC of the complete object, or the sizes for a composite digest.
    func checked(by parts: [CompositeChecksum.Part], _ composite: CompositeChecksum) -> ObjectHead {
        var checked = self
        switch composite.algorithm {
        case .crc32C: checked.crc32C = CompositeChecksum.crc(of: parts, .crc32C)
        case .crc32: checked.crc32 = CompositeChecksum.crc(of: parts, .crc32)
        case .sha256, .sha1: checked.partSizes = parts.map(\.size)
        }
        return checked
    }
}
