/// Limits and time-outs of a ``KubernetesClient``.
public struct ClientOptions: Sendable {
    /// Limit of one attempt, from sending to the last byte; of a watch, until its response head.
    public var requestTimeout: Duration = .seconds(30)
    public var connectTimeout: Duration = .seconds(10)
    /// Attempts of a read in all. A write is repeated only after a 429 with a Retry-After, or after a 401 that made the
    /// client read its credentials again: a write whose response was lost may have happened.
    public var readAttempts: Int = 4
    /// First pause between attempts. It doubles, with jitter, up to ``maximumBackoff``.
    public var initialBackoff: Duration = .milliseconds(200)
    public var maximumBackoff: Duration = .seconds(5)
    /// Largest response that the client reads into memory. A page of 500 Jobs of 3 KB is 1.5 MB.
    public var maximumResponseBytes: Int = 64 << 20
    /// Largest event of a watch: etcd takes objects of 1.5 MiB, and managed fields add to that.
    public var maximumEventBytes: Int = 8 << 20
    /// Objects in a page of a paged list.
    public var pageSize: Int = 500
    /// Connections to the server at most; each watch holds one. The client speaks HTTP/1.1, so that one stalled reader
    /// cannot hold up the others. With HTTP/2 all would share one connection's window.
    public var maximumConnections: Int = 64
    /// The User-Agent header, which the server's audit log and priority rules see.
    public var userAgent: String = "modelcache"

    public init() {}
}
