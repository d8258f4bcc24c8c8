/// Everything the store is started with.
package struct StoreConfiguration: Sendable {
    package var buckets: [BucketTree] = []
    package var keys: [AccessKey] = []
    /// Buckets that anyone may read.
    package var publicBuckets: Set<String> = []
    /// V4 scopes and endpoints must name it; nil: any.
    package var region: String?
    package var baseHosts: [String] = []
    /// For requests that show no dialect.
    package var defaultDialect: Dialect = .oss
    /// Added to the store's clock, in seconds, to play a skewed one.
    package var clockOffsetSeconds: Int64 = 0
    /// Leave out digests that need the object read, for objects over the MD5 limit.
    package var lazyDigests = false
    package var digestFile: String?
    /// `--root`: new bucket directories are found while the store runs.
    package var root: String?

    package init() {}

    /// With no keys at all every bucket is open to all.
    var open: Bool { keys.isEmpty }
}

/// An answer before it is carried out.
package struct StoreResponse: Sendable {
    package enum Body: Sendable {
        case none
        case text(String)
        case file(OpenFile, Range<Int64>)
    }
    package var status: Int
    package var headers: [(name: String, value: String)]
    package var body: Body
    /// What Content-Length says.
    package var contentLength: Int64
    package var fault: FaultAction?
    /// Start a background reading of this file for its digest.
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
        case .file(_, let range): self.contentLength = contentLength ?? Int64(range.count)
        }
    }
}
