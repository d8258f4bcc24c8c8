/// The rule by which a client tells a ModelCache's own socket from an agent's: `<volume>/.modelcache/agent.sock`.
public enum CacheSocket {
    /// Below the volume.
    static let name = ".modelcache/agent.sock"
    private static let suffix = "/" + name

    /// The volume as this process sees it, which in a container is not where the node has it; nil for an agent's
    /// socket.
    public static func volume(of socket: String) -> String? {
        guard socket.hasPrefix("/"), socket.hasSuffix(suffix), socket.utf8.count > suffix.utf8.count else { return nil }
        return String(socket.dropLast(suffix.count))
    }
}
