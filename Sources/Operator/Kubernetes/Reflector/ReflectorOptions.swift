/// Patience of a ``Reflector``.
public struct ReflectorOptions: Sendable, Hashable {
    /// Without an event or a bookmark for so long the connection counts as dead. The server sends a bookmark a
    /// minute, so this is two that were missed and some room.
    public var idleTimeout: Duration = .seconds(150)
    /// A watch asks the server to end it after a random time from this range, so that watches of many clients that
    /// began together do not end together, and connections move between API servers.
    public var watchTimeout: ClosedRange<Duration> = .seconds(300)...(.seconds(600))
    /// First pause after a failure; doubles up to ``maximumBackoff``, with jitter.
    public var initialBackoff: Duration = .milliseconds(500)
    public var maximumBackoff: Duration = .seconds(30)
    /// A watch that ends sooner than this without an event counts as a failure: a server that accepts watches and
    /// drops them is not asked in a tight loop.
    public var shortestWatch: Duration = .seconds(1)
    /// A watch from a version the server has not reached yet is tried so many times before a new list.
    public var tooLargeVersionAttempts: Int = 5

    public init() {}
}
