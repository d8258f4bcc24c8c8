// Zones (racks, halls, a cloud's zones) with narrow links between them. Each block enters a zone about once.

extension SwarmPlanner {
    /// Whether this node may take the block from another zone: it is the block's owner in its zone, or the nodes in
    /// line before it did not fetch it, or a reader here has waited for it.
    func mayCross(_ block: Int, urgent: Bool) -> Bool {
        imports.zone == nil || imports.crossable.contains(block) || urgent && demands.waiting.contains(block)
    }

    /// Finds the blocks that this node fetches into its zone, after members came, went or died.
    mutating func findCrossable(at now: SwarmInstant) {
        let reputations = reputations
        imports.deal(
            to: configuration.me,
            isDead: reputations.isAnyDead(at: now) ? { reputations.isDead($0, at: now) } : nil)
    }

    /// Looks for blocks that should be in the zone already.
    mutating func watchCrossings(at now: SwarmInstant) {
        // Before the first block arrives, the time that a block takes is not known.
        guard arrivals.bestRate > 0, imports.mayLook(at: now) else { return }
        let nanosecondsOfBlock = min(Double(configuration.blockBytes) / arrivals.bestRate, 60e9)
        let step = max(.seconds(1), arrivals.time(ofBlocks: 20, at: arrivals.bestRate))
        for position in 0..<configuration.blockCount where reading.exists.contains(position) {
            let block = block(at: position)
            imports.watch(
                position, block: block, since: reading.existsSince[position], step: step,
                nanosecondsOfBlock: nanosecondsOfBlock, me: configuration.me, existing: reading.exists.count,
                isHeldHere: ledger.have.contains(block), at: now)
        }
    }
}
