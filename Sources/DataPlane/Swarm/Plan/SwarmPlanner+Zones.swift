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
        // Before anything has come, nothing is known of how long it may take.
        guard let zone, bestRate > 0, now > crossingLook + .milliseconds(500) else { return }
        crossingLook = now
        let nanosecondsOfBlock = min(Double(configuration.blockBytes) / bestRate, 60e9)
        let step = max(.seconds(1), time(ofBlocks: 20, at: bestRate))
        for position in 0..<configuration.blockCount where exists.contains(position) {
            let block = block(at: position)
            if zoneBacklog[position] < 0 { zoneBacklog[position] = Int32(max(0, exists.count - inZone.count)) }
            // Who comes to a model that is there already has a long way to bring it all in, rarest first and what is read meanwhile among it.
            let due = existsSince[position] + SwarmNanoseconds(2 * Double(zoneBacklog[position]) * nanosecondsOfBlock) + Self.stepsForBringer * step
            guard now > due, !have.contains(block), !crossable.contains(block) else { continue }
            let steps = Int((now - due) / step)
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
