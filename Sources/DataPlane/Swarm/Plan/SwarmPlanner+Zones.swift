// Zones: racks, halls or zones of a cloud, with narrow links between them. Each block comes into a zone about once.

extension SwarmPlanner {
    /// Whether this node may take the block from another zone: it is the one of its zone that brings it in, or those before it in line
    /// have not, or a reader here has waited for it.
    func mayCross(_ block: Int, urgent: Bool) -> Bool {
        zone == nil || crossable.contains(block) || urgent && demanded.contains(block)
    }

    /// What this node brings into its zone: dealt out among the zone's members as the store's blocks are among all. After members
    /// came, went or died.
    mutating func findCrossable(at now: SwarmInstant) {
        crossable = BlockSet(capacity: configuration.blockCount)
        guard let zone else { return }
        let anyDead = reputations.values.contains { $0.deadUntil > now }
        for block in 0..<configuration.blockCount {
            let bringer = anyDead ? zone.owner(of: block, skipping: { isDead($0, at: now) }) : zone.owner(of: block)
            if bringer == configuration.me { crossable.insert(block) }
        }
    }

    /// What should have come in long ago, the next in line brings, one more after each step: were it everybody at once, the narrow link
    /// would carry it once for each of them just when it is late because the link is full.
    mutating func watchCrossings(at now: SwarmInstant) {
        guard let zone, now > crossingLook + .milliseconds(500) else { return }
        crossingLook = now
        let step = max(.seconds(1), time(ofBlocks: 20, at: bestRate))
        for position in 0..<configuration.blockCount where exists.contains(position) && now > existsSince[position] + Self.stepsForBringer * step {
            let block = block(at: position)
            guard !have.contains(block), !crossable.contains(block) else { continue }
            let steps = Int((now - existsSince[position]) / step - Self.stepsForBringer)
            if steps >= Self.stepsForAll || (0...steps).contains(where: { zone.deputy(of: block, rank: $0 + 1) == configuration.me }) {
                crossable.insert(block)
            }
        }
    }

    /// How many steps a block may take before the first deputy brings it: it goes through other zones first.
    private static let stepsForBringer: UInt64 = 3
    /// After how many more anybody may: those in line may all be gone, or too busy.
    private static let stepsForAll = 8
}
