/// What an installation allows beyond the schema.
public struct ValidationPolicy: Sendable, Equatable {
    /// Endpoints on the node itself (127.0.0.0/8, ::1, localhost) are accepted: for a store beside the agents, and tests.
    public var allowsLoopbackEndpoints: Bool
    /// The nodes carry `topology.kubernetes.io/region`, so that a source may name neither endpoint nor region.
    public var nodesNameRegion: Bool

    public init(allowsLoopbackEndpoints: Bool = false, nodesNameRegion: Bool = true) {
        self.allowsLoopbackEndpoints = allowsLoopbackEndpoints
        self.nodesNameRegion = nodesNameRegion
    }
}
