internal import DequeModule

/// The chunks that were here before a swarm fill began, and that are checked before others may have them. A pure value.
///
/// They are checked one after the other in the order in which the swarm reads the store, for the nodes that wait wait
/// for the earliest of them; those that another node asks for come first. Meanwhile the planner asks nobody for their
/// blocks, and does not offer them.
package struct TakeUp: Sendable {
    /// To be checked, the next one last.
    private var order: [ChunkAddress]
    /// Another node asks for them, the first one first.
    private var wanted = Deque<ChunkAddress>()
    /// Neither offered nor lost.
    private var pending: Set<ChunkAddress>
    private var underWay: ChunkAddress?

    /// - Parameter chunks: in the order of reading, each once.
    package init(_ chunks: [ChunkAddress] = []) {
        order = chunks.reversed()
        pending = Set(chunks)
        precondition(pending.count == chunks.count, "a chunk is taken up once")
    }

    /// Whether the planner asks nobody for the chunk because it is here.
    package func isPending(_ chunk: ChunkAddress) -> Bool { pending.contains(chunk) }

    /// The chunk whose check begins now; nil: one is under way, or none is left.
    package mutating func next() -> ChunkAddress? {
        guard underWay == nil else { return nil }
        while let chunk = wanted.popFirst() ?? order.popLast() {
            guard pending.contains(chunk) else { continue }
            underWay = chunk
            return chunk
        }
        return nil
    }

    /// Another node asks for the chunk.
    package mutating func want(_ chunk: ChunkAddress) {
        if pending.contains(chunk), underWay != chunk, !wanted.contains(chunk) { wanted.append(chunk) }
    }

    /// The check that was under way has ended.
    ///
    /// - Parameter isRight: the chunk is here, and its digests are known. Otherwise it is about to be told as lost, or
    ///   its file as begun anew.
    /// - Returns: whether the chunk can be offered now; false: it was lost meanwhile, or is.
    package mutating func ended(isRight: Bool) -> Bool {
        guard let chunk = underWay else { preconditionFailure("a check ends once") }
        underWay = nil
        return isRight && pending.remove(chunk) != nil
    }

    /// The chunk is missing. Returns whether the planner asks nobody for it so far.
    package mutating func lost(_ chunk: ChunkAddress) -> Bool { pending.remove(chunk) != nil }

    /// All chunks of the file are missing. Returns those that the planner asks nobody for so far, ascending.
    package mutating func lost(file: Int) -> [ChunkAddress] {
        let lost = pending.filter { $0.file == file }
        pending.subtract(lost)
        return lost.sorted()
    }
}
