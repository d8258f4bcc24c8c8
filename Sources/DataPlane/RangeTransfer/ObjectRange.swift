/// A range of one version of an object.
public struct ObjectRange: Sendable, Hashable {
    /// The object's name: the full key in a bucket, or a file of a model. The engine shows it in messages alone.
    public var key: String
    /// The entity tag of the wanted version, without quotes; empty when there is none. A response with another one is
    /// refused.
    public var etag: String
    /// Bytes of the complete object: a `Content-Range` that says otherwise is refused.
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
