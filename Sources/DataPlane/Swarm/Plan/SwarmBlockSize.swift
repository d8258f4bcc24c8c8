/// The unit in which nodes pass a model on.
public enum SwarmBlockSize {
    /// Block size for a model, in bytes: a power of two between 128 KiB and 4 MiB that gives about 500 blocks
    /// or more, and at most `chunkBytes`.
    ///
    /// All nodes must choose alike, so it depends on nothing but the model. A block crosses the swarm in
    /// about log2(nodes) block times, so the cost is log2(nodes)/blocks: under 2 % for 500 blocks and
    /// hundreds of nodes. Smaller ones would cost more messages than they gain.
    public static func bytes(modelBytes: Int64, chunkBytes: Int) -> Int {
        var size = 4 << 20
        while size > 128 << 10, modelBytes / Int64(size) < 450 { size /= 2 }
        return min(size, max(chunkBytes, 1))
    }
}
