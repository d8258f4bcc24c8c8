/// A node as all nodes agree on it.
public struct SwarmMember: Sendable, Equatable {
    public var peer: SwarmPeer
    /// A hash of what all nodes call this node by (its address and port), equal everywhere; see ``hash(of:)``.
    public var key: UInt64

    public init(_ peer: SwarmPeer, key: UInt64) {
        self.peer = peer
        self.key = key
    }

    /// FNV-1a with a final mix: the same on every machine, unlike `Hasher`.
    public static func hash(of name: String) -> UInt64 {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return SwarmRandom.mix(value)
    }
}

/// The members of a swarm and who of them reads which block from the store.
///
/// Owners are found by consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam: "Consistent
/// Hashing with Bounded Loads", 2016): a block's hash names a few places on a ring of members, and the
/// first member there that has no more than its share of the blocks before it is the owner. Two nodes that
/// disagree about one member disagree about few blocks. Costs O((members + blocks) log members) to make,
/// and is shared by copies.
public struct SwarmMembers: Sendable {
    /// The ring: ascending keys and the peers they belong to.
    private let keys: [UInt64]
    private let peers: [SwarmPeer]
    /// Ring index of every block's owner.
    private let owners: [Int32]
    public let model: UInt64

    /// - Parameter model: a hash of the model's identity, so that two models have different owners.
    public init(_ members: [SwarmMember], blockCount: Int, model: UInt64 = 0) {
        let ring = members.sorted { ($0.key, $0.peer) < ($1.key, $1.peer) }
        keys = ring.map { $0.key }
        peers = ring.map { $0.peer }
        self.model = model
        owners = Self.deal(keys: keys, blockCount: blockCount, model: model)
    }

    public var count: Int { peers.count }
    public var all: [SwarmPeer] { peers }

    /// The member at a place of the ring, 0..<count.
    public subscript(_ index: Int) -> SwarmPeer { peers[index] }

    /// The first member at or after a point of the ring.
    public func successor(of point: UInt64) -> Int { Self.successor(of: point, in: keys) }

    /// Who reads the block from the store; nil in an empty swarm.
    public func owner(of block: Int) -> SwarmPeer? {
        guard owners.indices.contains(block), !peers.isEmpty else { return nil }
        return peers[Int(owners[block])]
    }

    /// Who is to read the block if those for whom `isDead` holds cannot: the owner, then its deputies.
    public func owner(of block: Int, skipping isDead: (SwarmPeer) -> Bool) -> SwarmPeer? {
        guard let first = owner(of: block) else { return nil }
        if !isDead(first) { return first }
        var place = deputyPlace(of: block, 0)
        for _ in 0..<peers.count {
            if !isDead(peers[place]) { return peers[place] }
            place = (place + 1) % peers.count
        }
        return nil
    }

    /// The `rank`-th in line behind the owner, for a living owner that is late.
    public func deputy(of block: Int, rank: Int) -> SwarmPeer? {
        guard !peers.isEmpty else { return nil }
        return peers[deputyPlace(of: block, rank)]
    }

    private func deputyPlace(of block: Int, _ rank: Int) -> Int {
        successor(of: SwarmRandom.mix(model ^ (UInt64(block) &* 0x9e37_79b9_7f4a_7c15) ^ UInt64(101 + rank)))
    }

    private static func successor(of point: UInt64, in keys: [UInt64]) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < point { low = middle + 1 } else { high = middle }
        }
        return low == keys.count ? 0 : low
    }

    private static func deal(keys: [UInt64], blockCount: Int, model: UInt64) -> [Int32] {
        guard !keys.isEmpty else { return [] }
        var load = [Int32](repeating: 0, count: keys.count)
        var owners = [Int32](repeating: 0, count: max(0, blockCount))
        for block in owners.indices {
            // A quarter above the even share: the bound of the paper with c = 1.25.
            let bound = Int32((block + 1) * 5 / (4 * keys.count)) + 1
            let base = model ^ (UInt64(block) &* 0x9e37_79b9_7f4a_7c15)
            var place = 0
            var found = false
            for choice in 0..<UInt64(8) {
                place = successor(of: SwarmRandom.mix(base ^ choice), in: keys)
                if load[place] < bound {
                    found = true
                    break
                }
            }
            while !found {
                place = place + 1 == keys.count ? 0 : place + 1
                found = load[place] < bound
            }
            load[place] += 1
            owners[block] = Int32(place)
        }
        return owners
    }
}
