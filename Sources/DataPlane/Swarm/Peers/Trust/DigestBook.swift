/// The digests that peers assert of blocks, and the verdicts on received bytes that follow. A pure value.
///
/// Digests are asserted by peers with what they announce. The first assertion stands until the store, or two peers'
/// equal bytes, say otherwise. A peer that asserted a wrong one, or serves bytes that do not have the digest that it
/// asserted itself, is at fault.
public struct DigestBook: Sendable {
    /// Small numbers of peers, as the swarm gives them.
    public typealias Peer = Int

    private struct Entry: Sendable {
        var digest: UInt64
        var asserter: Peer
    }
    private var entries: [Int: Entry] = [:]
    /// Assertions that differ from the one that stands.
    private var others: [Int: [Peer: UInt64]] = [:]
    private var disputed: Set<Int> = []
    private var sendersOfWrongBytes: Set<Peer> = []

    public init() {}

    /// The finding about bytes of a peer.
    public enum Verdict: Sendable, Equatable {
        case right
        /// Nobody has said what the block's digest is: wait for it.
        case unknown
        /// The peer is at fault.
        case corrupt
        /// Two peers contradict each other: ask the store.
        case disputed
        /// Wrong, but perhaps passed on in good faith.
        case broken
    }

    public mutating func asserted(_ block: Int, digest: UInt64, by peer: Peer) {
        precondition(peer >= 0, "a negative number stands for the store, whose word settles a digest")
        guard !sendersOfWrongBytes.contains(peer) else { return }
        guard let entry = entries[block] else {
            entries[block] = Entry(digest: digest, asserter: peer)
            return
        }
        if entry.digest == digest {
            others[block]?[peer] = nil
        } else if entry.asserter == peer {
            entries[block]?.digest = digest
        } else {
            others[block, default: [:]][peer] = digest
        }
    }

    /// - Parameter announced: whether the peer said that it holds the block.
    public mutating func judge(_ block: Int, digest: UInt64, from peer: Peer, announced: Bool) -> Verdict {
        guard let entry = entries[block] else { return .unknown }
        if entry.digest == digest { return .right }
        if entry.asserter == peer { return .corrupt }
        guard announced else { return .broken }
        guard others[block]?[peer] == digest else { return .corrupt }
        disputed.insert(block)
        return .disputed
    }

    /// Whether the block must come from the store.
    public func needsStore(_ block: Int) -> Bool { disputed.contains(block) }

    public mutating func dispute(_ blocks: Range<Int>) { disputed.formUnion(blocks) }

    /// Takes the digest that the store gave. Returns the peers that asserted another; their other assertions are void
    /// from now on.
    public mutating func settled(_ block: Int, digest: UInt64) -> [Peer] {
        disputed.remove(block)
        var wrong: [Peer] = []
        if let entry = entries[block], entry.digest != digest { wrong.append(entry.asserter) }
        for (peer, other) in others[block] ?? [:] where other != digest { wrong.append(peer) }
        entries[block] = Entry(digest: digest, asserter: -1)
        others[block] = nil
        let new = wrong.filter { $0 >= 0 && sendersOfWrongBytes.insert($0).inserted }.sorted()
        for peer in new { forget(peer) }
        return new
    }

    public func sentWrongBytes(_ peer: Peer) -> Bool { sendersOfWrongBytes.contains(peer) }

    /// The peer is at fault for what it served: what it asserted is void.
    public mutating func distrust(_ peer: Peer) {
        if sendersOfWrongBytes.insert(peer).inserted { forget(peer) }
    }

    private mutating func forget(_ peer: Peer) {
        for block in Array(others.keys) { others[block]?[peer] = nil }
        for (block, entry) in entries where entry.asserter == peer {
            if let (next, digest) = others[block]?.min(by: { $0.key < $1.key }) {
                entries[block] = Entry(digest: digest, asserter: next)
                others[block]?[next] = nil
            } else {
                entries[block] = nil
            }
        }
    }
}
