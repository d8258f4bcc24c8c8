/// Time-outs of a ``Reflector``.
public struct ReflectorOptions: Sendable, Hashable {
    /// A connection without an event or a bookmark for this time counts as dead. The server sends a bookmark a minute,
    /// so this allows for two missed ones and half a minute.
    public var idleTimeout: Duration = .seconds(150)
    /// A watch asks the server to end it after a random time in this range. So the watches of many clients that began
    /// together do not end together, and connections move between API servers.
    public var watchTimeout: ClosedRange<Duration> = .seconds(300)...(.seconds(600))
    /// First pause after a failure. It doubles up to ``maximumBackoff``, with jitter.
    public var initialBackoff: Duration = .milliseconds(500)
    public var maximumBackoff: Duration = .seconds(30)
    /// A watch that ends before its time-out is followed by a list, at the earliest this long after the list before.
    /// The time begins at the lower bound and doubles with each such list up to the upper one, until a watch reaches
    /// its time-out. So a proxy that cuts every watch costs a list in five minutes for each kind.
    public var listAfterCut: ClosedRange<Duration> = .seconds(10)...(.seconds(300))
    /// A watch that ends sooner than this without an event counts as a failure. So a server that accepts watches and
    /// drops them is not asked in a tight loop.
    public var shortestWatch: Duration = .seconds(1)

    public init() {}
}
