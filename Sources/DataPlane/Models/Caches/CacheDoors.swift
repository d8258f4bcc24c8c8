package import AgentAPI

/// The pod that a verified token is bound to
/// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens).
package struct CallerPod: Hashable, Sendable {
    package let name: String
    package let uid: String

    package init(name: String, uid: String) {
        self.name = name
        self.uid = uid
    }
}

/// A caller that was let in.
package struct AdmittedCaller: Sendable {
    /// The definition by which the caller was found right.
    package var definition: CacheDefinition
    /// Nil: the definition names no callers, or the token is not bound to a pod.
    package var pod: CallerPod?

    package init(definition: CacheDefinition, pod: CallerPod? = nil) {
        self.definition = definition
        self.pod = pod
    }
}

/// Decides which callers may open a cache through its own socket.
package protocol CallerGate: Sendable {
    /// - Parameters:
    ///   - token: taken out of the caller's settings; nil: it showed none.
    ///   - current: the cache's definition of the moment; nil: the cache is gone.
    ///   - waits: called when the answer is put off.
    /// - Returns: nil: the cache is gone.
    /// - Throws: ``AgentFailure`` of code `denied`, which says which check failed.
    func admit(
        token: String?, to current: @Sendable () async -> CacheDefinition?, waits: @Sendable () -> Void
    ) async throws(AgentFailure) -> AdmittedCaller?

    /// Lets a token for the definition's role in: that of the ServiceAccount that may assume it, and of no other.
    ///
    /// - Returns: when the token is of no use any more, in seconds since 1970; nil: unknown, since the definition names
    ///   no callers.
    /// - Throws: ``AgentFailure`` of code `denied`, which says which check failed.
    func admit(roleToken: String, to definition: CacheDefinition) async throws(AgentFailure) -> Int64?
}

/// Listens at the sockets of caches. Calls block on the caches' file systems.
package protocol CacheSockets: Sendable {
    /// - Parameter path: of the socket's file, which is made or replaced.
    func listen(at path: String, forCache uid: String) throws
    /// No new client of this cache; those that are connected read end of file.
    func close(cache uid: String)
}
