/// Limits and patience of a ``KubernetesClient``.
public struct ClientOptions: Sendable {
    /// For one attempt of anything but a watch, from sending to the last byte; of a watch, until its head.
    public var requestTimeout: Duration = .seconds(30)
    public var connectTimeout: Duration = .seconds(10)
    /// Attempts of a read in all. Writes are repeated only when the server said 429 and when to come back, or a
    /// 401 made the credentials be read again: a write whose answer was lost may have happened.
    public var readAttempts: Int = 4
    /// First pause between attempts; doubles, with jitter, up to ``maximumBackoff``.
    public var initialBackoff: Duration = .milliseconds(200)
    public var maximumBackoff: Duration = .seconds(5)
    /// Largest answer that is taken into memory. A page of 500 Jobs of 3 KB is 1.5 MB.
    public var maximumResponseBytes: Int = 64 << 20
    /// Largest event of a watch: etcd takes objects of 1.5 MiB, managed fields add to that.
    public var maximumEventBytes: Int = 8 << 20
    /// Objects a page of a paged list.
    public var pageSize: Int = 500
    /// Connections to the server at most; each watch holds one. HTTP/1.1 is spoken: one stalled reader cannot
    /// hold up the others, as it can when all share one HTTP/2 connection's window.
    public var maximumConnections: Int = 64
    /// Sent as User-Agent: the server's audit log and priority rules see it.
    public var userAgent: String = "modelcache"

    public init() {}
}
