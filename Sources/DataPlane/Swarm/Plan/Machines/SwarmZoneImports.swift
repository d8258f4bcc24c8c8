/// The blocks that this node takes from other zones. Empty where no zones are known, or where all nodes are in one.
///
/// ### Invariants
/// - Without a zone, `crossable` is empty.
/// - `held` only grows while the node is in a zone: it says what came in, not what is there now.
package struct SwarmZoneImports: Sendable {
    /// The members of this node's own zone.
    package private(set) var zone: SwarmMembers?
    /// Blocks that this node may take from another zone.
    package private(set) var crossable: BlockSet
    /// Blocks that this node or a neighbour of its zone has held.
    private var held: BlockSet
    /// By position: the blocks that the zone still lacked when this one began to exist, itself included; -1: not
    /// counted yet.
    private var backlog: [Int32]
    private var looked: SwarmInstant = 0

    package init(blockCount: Int) {
        crossable = BlockSet(capacity: blockCount)
        held = crossable
        backlog = Array(repeating: -1, count: blockCount)
    }

    package mutating func adopt(_ zone: SwarmMembers?) { self.zone = zone }

    /// Finds the blocks that this node fetches into its zone, after members came, went or died. They are dealt out
    /// among the zone's members as the store's blocks are among all members.
    ///
    /// - Parameter isDead: nil where nobody is.
    package mutating func deal(to me: SwarmPeer, isDead: ((SwarmPeer) -> Bool)?) {
        crossable = BlockSet(capacity: crossable.capacity)
        guard let zone else { return }
        for block in 0..<crossable.capacity {
            let owner = isDead.map { zone.owner(of: block, skipping: $0) } ?? zone.owner(of: block)
            if owner == me { crossable.insert(block) }
        }
    }

    /// This node or a neighbour of its zone holds the block.
    package mutating func cameIn(_ block: Int) {
        if zone != nil { held.insert(block) }
    }

    /// Whether it is time to look for late blocks (``watch(_:block:since:step:nanosecondsOfBlock:me:existing:at:)``).
    package mutating func mayLook(at now: SwarmInstant) -> Bool {
        guard zone != nil, now > looked + .milliseconds(500) else { return false }
        looked = now
        return true
    }

    /// The next node in line fetches a block that should be in the zone already, one more node after each step. If all
    /// nodes fetched it at once, the narrow link, already full, would carry it once for each of them.
    ///
    /// - Parameters:
    ///   - since: when the block began to exist.
    ///   - nanosecondsOfBlock: what a block takes on this node's link.
    ///   - existing: blocks that exist.
    package mutating func watch(
        _ position: Int, block: Int, since: SwarmInstant, step: SwarmNanoseconds, nanosecondsOfBlock: Double,
        me: SwarmPeer, existing: Int, isHeldHere: Bool, at now: SwarmInstant
    ) {
        guard let zone else { return }
        if backlog[position] < 0 { backlog[position] = Int32(max(0, existing - held.count)) }
        // A node that joins late has many blocks to fetch, rarest first, while the swarm reads more; so it gets more
        // time.
        let allowed = SwarmNanoseconds(2 * Double(backlog[position]) * nanosecondsOfBlock)
        let due = since + allowed + Self.stepsForZoneOwner * step
        guard now > due, !isHeldHere, !crossable.contains(block) else { return }
        let steps = Int((now - due) / step)
        if steps >= Self.stepsForAll || (0...steps).contains(where: { zone.deputy(of: block, rank: $0 + 1) == me }) {
            crossable.insert(block)
        }
    }

    /// Steps that a block may take before the first deputy fetches it: it passes through other zones first.
    private static let stepsForZoneOwner: UInt64 = 3
    /// Steps after which any node may fetch it: all nodes in line may be gone or too busy.
    private static let stepsForAll = 8

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants() {
        precondition(zone != nil || crossable.isEmpty, "blocks cross zones where there are none")
    }
}
