public import StoreHost

/// The permissions of an installation beyond the schema.
public struct ValidationPolicy: Sendable, Equatable {
    /// Accept endpoints on the node itself (127.0.0.0/8, ::1, localhost), for a store beside the agents and for tests.
    public var allowsLoopbackEndpoints: Bool
    /// The nodes have `topology.kubernetes.io/region`, so that a source may name neither endpoint nor region.
    public var nodesNameRegion: Bool
    /// Where credentials may be used; nil: not judged here.
    public var credentialHosts: CredentialHosts?
    /// Sources may be read with the nodes' own role; nil: not judged here.
    public var allowsNodeRole: Bool?

    public init(
        allowsLoopbackEndpoints: Bool = false, nodesNameRegion: Bool = true, credentialHosts: CredentialHosts? = nil,
        allowsNodeRole: Bool? = nil
    ) {
        self.allowsLoopbackEndpoints = allowsLoopbackEndpoints
        self.nodesNameRegion = nodesNameRegion
        self.credentialHosts = credentialHosts
        self.allowsNodeRole = allowsNodeRole
    }
}
