package import AgentAPI

/// Who may open a cache through its own socket: asked at each `MC_OPEN`, before the store is.
///
/// Today whoever can reach the socket may ask, and must then prove itself at the store: the source is listed with the
/// caller's own credentials. A check of the caller's ServiceAccount token belongs here.
package struct CallerIdentity: Sendable {
    package init() {}

    /// - Throws: ``AgentFailure`` of code `denied`.
    package func check(_ peer: PeerCredentials, variables: [String: String], cache: CacheDefinition) throws(AgentFailure) {}
}
