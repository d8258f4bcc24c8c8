/// The identity of a swarm: the same objects, and the same cache of them.
///
/// Two ModelCaches of one source are two swarms: each has limits, readers and an end of its own, and a node may have
/// both.
public struct SwarmIdentity: Hashable, Sendable {
    /// Of the objects; 16 bytes.
    public let generation: [UInt8]
    /// The cached model's id, which is the same on every node: a ModelCache's uid; without one, made from the source's
    /// name.
    public let model: String

    public init(generation: [UInt8], model: String) {
        self.generation = generation
        self.model = model
    }
}
