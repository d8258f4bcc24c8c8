internal import Kubernetes

extension ModelCacheController {
    /// Nil: there is no such ModelCache, as far as this replica has heard.
    ///
    /// Answers within about a second, mostly at once: the names of the Secret's entries may have to be asked for. Useful once
    /// ``isFollowing``.
    public func injection(namespace: String, name: String) async -> InjectionFacts? {
        let key = ObjectKey(namespace: namespace, name: name)
        guard let view = world.injection(key, isLive: isControlling, now: .now) else { return nil }
        var facts = view.facts
        guard let source = view.source else { return facts }
        var secret = view.secret
        if secret == nil, let secretName = view.secretName {
            secret = await entries.view(ObjectKey(namespace: namespace, name: secretName), now: .now)
        }
        facts.environment = SourceEnvironment.variables(source: source, secret: secret, keysAreOptional: true)
        return facts
    }

    /// The names of a namespace's ModelCaches, sorted.
    public func names(in namespace: String) -> [String] { world.names(in: namespace) }
}
