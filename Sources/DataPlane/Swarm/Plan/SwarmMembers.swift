/// A node, described so that all nodes agree on it.
public struct SwarmMember: Sendable, Equatable {
    public var peer: SwarmPeer
    /// A hash of the name that all nodes use for this node (its address and port); see ``hash(of:)``.
    public var key: UInt64
    /// A rack, a hall or a cloud's zone: links inside it are fast, links out of it are slow. Empty: not known.
    public var zone: String

    public init(_ peer: SwarmPeer, key: UInt64, zone: String = "") {
        self.peer = peer
        self.key = key
        self.zone = zone
    }

    /// FNV-1a with a final mix: the same on every machine, unlike `Hasher`.
    public static func hash(of name: String) -> UInt64 {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return SwarmRandom.mix(value)
    }
}

/// The members of a swarm, and the owner of each block: the member that reads it from the store.
///
/// Owners are found by consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with
/// Bounded Loads", 2016). A block's hash names a few places on a ring of members, and the first member there whose
/// share of the blocks is not full is the owner. Two nodes that disagree about one member disagree about few blocks.
/// Every member has 32 points on the ring, so that the arcs before them sum up to nearly equal shares. Making the value
/// costs O((members + blocks) log members); copies share it.
public struct SwarmMembers: Sendable {
    /// The ring: points, ascending, and the index of the member that each belongs to.
    private let points: [UInt64]
    private let holders: [Int32]
    /// Sorted by key, so that all nodes have the same order.
    private let peers: [SwarmPeer]
    /// Index of every block's owner.
    private let owners: [Int32]
    public let model: UInt64
    /// Each member's index in `zones`, and the zones' members; empty with fewer than two zones.
    private let zonePlaces: [SwarmPeer: Int32]
    private let zones: [[SwarmMember]]
    private let blockCount: Int

    /// - Parameter model: a hash of the model's identity, so that two models have different owners.
    public init(_ members: [SwarmMember], blockCount: Int, model: UInt64 = 0) {
        let sorted = members.sorted { ($0.key, $0.peer) < ($1.key, $1.peer) }
        peers = sorted.map { $0.peer }
        self.model = model
        self.blockCount = blockCount
        var ring: [(point: UInt64, member: Int32)] = []
        ring.reserveCapacity(sorted.count * Self.pointsPerMember)
        for (index, member) in sorted.enumerated() {
            for number in 0..<UInt64(Self.pointsPerMember) {
                ring.append((SwarmRandom.mix(member.key &+ number), Int32(index)))
            }
        }
        ring.sort { ($0.point, $0.member) < ($1.point, $1.member) }
        points = ring.map { $0.point }
        holders = ring.map { $0.member }
        owners = Self.deal(
            points: points, holders: holders, memberCount: peers.count, blockCount: blockCount, model: model)
        let grouped = Dictionary(grouping: sorted) { $0.zone }
        guard grouped.count > 1 else {
            (zonePlaces, zones) = ([:], [])
            return
        }
        var places: [SwarmPeer: Int32] = [:]
        var zones: [[SwarmMember]] = []
        for members in grouped.values {
            for member in members { places[member.peer] = Int32(zones.count) }
            zones.append(members.map { SwarmMember($0.peer, key: $0.key) })
        }
        (zonePlaces, self.zones) = (places, zones)
    }

    /// Whether both are in one zone. True with fewer than two zones.
    public func isOneZone(_ left: SwarmPeer, _ right: SwarmPeer) -> Bool { zonePlaces[left] == zonePlaces[right] }

    /// The members of a member's zone, each with its share of the blocks; nil with fewer than two zones. Deals the
    /// blocks anew at every call.
    public func zone(of peer: SwarmPeer) -> SwarmMembers? {
        // Another hash than the store's: a block's owner and the node that fetches it into a zone should differ.
        zonePlaces[peer].map { SwarmMembers(zones[Int($0)], blockCount: blockCount, model: model ^ 0x7a6f_6e65) }
    }

    private static let pointsPerMember = 32

    public var count: Int { peers.count }
    public var all: [SwarmPeer] { peers }

    /// The member that holds the first point at or after this one; there must be members.
    public func successor(of point: UInt64) -> SwarmPeer { peers[place(of: point)] }

    private func place(of point: UInt64) -> Int { Int(holders[Self.successor(of: point, in: points)]) }

    /// The member that reads the block from the store; nil in an empty swarm.
    public func owner(of block: Int) -> SwarmPeer? {
        guard owners.indices.contains(block), !peers.isEmpty else { return nil }
        return peers[Int(owners[block])]
    }

    /// The member that reads the block if those with `isDead` cannot: the owner, then its deputies.
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
        place(of: SwarmRandom.mix(model ^ (UInt64(block) &* 0x9e37_79b9_7f4a_7c15) ^ UInt64(101 + rank)))
    }

    private static func successor(of point: UInt64, in points: [UInt64]) -> Int {
        var low = 0
        var high = points.count
        while low < high {
            let middle = (low + high) / 2
            if points[middle] < point { low = middle + 1 } else { high = middle }
        }
        return low == points.count ? 0 : low
    }

    private static func deal(points: [UInt64], holders: [Int32], memberCount: Int, blockCount: Int, model: UInt64)
        -> [Int32]
    {
        guard memberCount > 0 else { return [] }
        var load = [Int32](repeating: 0, count: memberCount)
        var owners = [Int32](repeating: 0, count: max(0, blockCount))
        for block in owners.indices {
            // A quarter above the even share of the blocks so far, the paper's bound with c = 1.25, and one more: with
            // a small share most blocks would miss their first choice.
            let bound = Int32((block + 1) * 5 / (4 * memberCount)) + 2
            let base = model ^ (UInt64(block) &* 0x9e37_79b9_7f4a_7c15)
            var place = 0
            var owner = 0
            var found = false
            for choice in 0..<UInt64(8) {
                place = successor(of: SwarmRandom.mix(base ^ choice), in: points)
                owner = Int(holders[place])
                if load[owner] < bound {
                    found = true
                    break
                }
            }
            while !found {
                place = place + 1 == points.count ? 0 : place + 1
                owner = Int(holders[place])
                found = load[owner] < bound
            }
            load[owner] += 1
            owners[block] = Int32(owner)
        }
        return owners
    }
}
