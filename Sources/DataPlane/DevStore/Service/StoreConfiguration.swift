/// The settings of the store.
package struct StoreConfiguration: Sendable {
    package var buckets: [BucketTree] = []
    package var keys: [AccessKey] = []
    /// Buckets that anyone may read.
    package var publicBuckets: Set<String> = []
    /// The region that V4 scopes and endpoints must name; nil: any.
    package var region: String?
    package var baseHosts: [String] = []
    /// The dialect of requests that do not show theirs.
    package var defaultDialect: Dialect = .oss
    /// Added to the store's clock, in seconds, to simulate a skewed one.
    package var clockOffsetSeconds: Int64 = 0
    /// Leave out digests that need a read, for objects over the MD5 limit.
    package var lazyDigests = false
    package var digestFile: String?
    /// `--root`: new bucket directories are found while the store runs.
    package var root: String?

    package init() {}
}

/// A response before it is sent.
package struct StoreResponse: Sendable {
    package enum Body: Sendable {
        case none
        case text(String)
        case bytes([UInt8])
        case file(OpenFile, Range<Int64>)
    }
    package var status: Int
    package var headers: [(name: String, value: String)]
    package var body: Body
    /// The value of Content-Length.
    package var contentLength: Int64
    package var fault: FaultAction?
    /// Read this file in the background for its digest.
    package var wantsDigest: OpenFile?

    package init(
        status: Int, headers: [(name: String, value: String)] = [], body: Body = .none, contentLength: Int64? = nil
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        switch body {
        case .none: self.contentLength = contentLength ?? 0
        case .text(let text): self.contentLength = contentLength ?? Int64(text.utf8.count)
        case .bytes(let bytes): self.contentLength = contentLength ?? Int64(bytes.count)
        case .file(_, let range): self.contentLength = contentLength ?? Int64(range.count)
        }
    }
}
