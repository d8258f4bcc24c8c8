/// The unit in which nodes pass a model on.
public enum SwarmBlockSize {
    /// Block size for a model, in bytes: a power of two between 128 KiB and 16 MiB that gives about 500 blocks or more,
    /// and at most `chunkBytes`.
    ///
    /// All nodes must choose the same size, so it depends on the model alone. A block crosses the swarm in about
    /// log2(nodes) block times, so the cost is log2(nodes)/blocks: under 2 % for 500 blocks and hundreds of nodes.
    /// Smaller blocks would cost more in messages than they gain. For 664 GB at 100 Gbit/s, a block of 4 MiB passes in
    /// a third of a millisecond, long before a peer can have heard of it.
    public static func bytes(modelBytes: Int64, chunkBytes: Int) -> Int {
        var size = 16 << 20
        while size > 128 << 10, modelBytes / Int64(size) < 450 { size /= 2 }
        return min(size, max(chunkBytes, 1))
    }
}
