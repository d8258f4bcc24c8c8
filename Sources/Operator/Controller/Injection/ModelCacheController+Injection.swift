public import Kubernetes

extension ModelCacheController {
    /// Nil: there is no such ModelCache, as far as this replica has heard.
    ///
    /// Useful once ``isFollowing``.
    public func injection(namespace: String, name: String) -> InjectionFacts? {
        world.injection(ObjectKey(namespace: namespace, name: name), isLive: isControlling, now: .now)
    }

    /// The names of a namespace's ModelCaches, sorted.
    public func names(in namespace: String) -> [String] { world.names(in: namespace) }

    /// All ModelCaches that this replica has heard of, unordered.
    public var modelCaches: [ObjectKey] { world.cacheKeys }
}
