// Which blocks this node reads from the store, and when.

extension SwarmPlanner {
    /// Blocks that the whole swarm reads at once, at least eight: each shares its reader's link with blocks from peers,
    /// so four would leave a part of the store's rate unused. With more, each would arrive too slowly to be passed on
    /// soon. On a fast network: the blocks that the store sends in 80 ms, the time of its first byte and of the news of
    /// a read.
    var originWindow: Int {
        if members.count <= 1 { return .max }
        if configuration.originWindow > 0 { return configuration.originWindow }
        return max(8, min(128, arrivals.blocks(in: .milliseconds(80), at: arrivals.bestRate)))
    }

    // MARK: How far the reading is

    mutating func adopt(_ gossip: SwarmGossip, at now: SwarmInstant) {
        guard reading.believesGossip(at: now) else { return }
        reading.adopt(gossip, at: now)
        if let age = gossip.fullAge { full.heard(age: age, at: now, started: started) }
    }

    /// A peer that keeps failing may be the only source of a claim that a block exists. This node keeps only its own
    /// blocks and those of its neighbours.
    mutating func believeFirstHandOnly(at now: SwarmInstant) {
        full.forget()
        let (order, ledger, neighbours) = (order, ledger, neighbours)
        reading.believeFirstHandOnly(
            at: now,
            isHeld: { position in
                let block = order.block(at: position)
                return ledger.have.contains(block)
                    || neighbours.list.contains { $0.hasMap && $0.blocks.contains(block) }
            },
            isComing: { position in
                let block = order.block(at: position)
                return ledger.holders[block] > 0 || ledger.inFlight[block] > 0
            },
            isAbandoned: { ledger.abandoned.contains(order.block(at: $0)) })
    }

    /// No fetch is in flight and no neighbour offers anything, though blocks are said to exist. The node that first
    /// said so was wrong or is gone, and the others pass its claim on to each other.
    mutating func forgetUnverifiedClaims(at now: SwarmInstant) {
        guard ledger.candidates.isEmpty, fetches.isEmpty, now > arrivals.lastBlock + .seconds(3),
            !reading.hasJustForgotten(at: now), configuration.prefetches || !demands.isEmpty, !isFed(at: now)
        else { return }
        believeFirstHandOnly(at: now)
        findOwned(at: now)
    }

    func gossip(at now: SwarmInstant) -> SwarmGossip {
        reading.gossip(fullAge: ledger.have.isFull ? 0 : full.age(at: now))
    }

    /// No node reads the store while a full holder lives and blocks arrive. A full holder that was there at the start
    /// may have many nodes to feed, so it gets more time than one that has just become complete, perhaps with a slow
    /// uplink.
    func isFed(at now: SwarmInstant) -> Bool {
        full.isKnown(at: now)
            && now
                < (full.isSeed
                    ? arrivals.lastProgress + configuration.lastResort : arrivals.lastBlock + .seconds(3))
    }

    /// The window does not wait for an owner that takes twice the time of its turn.
    mutating func watchWindow(at now: SwarmInstant) {
        guard !reading.isOver, members.count > 1 else { return }
        let window = originWindow
        // Uses the best rate seen, because a window that stands still lowers the present rate.
        let patience = max(.milliseconds(1500), arrivals.time(ofBlocks: 2 * window, at: arrivals.bestRate))
        reading.watchWindow(window, patience: patience, at: now)
    }

    // MARK: Reading

    /// Finds the blocks that this node is to read, after members came, went or died.
    mutating func findOwned(at now: SwarmInstant) {
        findCrossable(at: now)
        var owned: [Int32] = []
        defer { turns.deal(owned) }
        guard members.count > 0 else { return }
        let anyDead = reputations.isAnyDead(at: now)
        let me = configuration.me
        var position = anyDead ? 0 : reading.watermark
        while position < configuration.blockCount {
            let block = block(at: position)
            let owner =
                anyDead
                ? members.owner(of: block, skipping: { reputations.isDead($0, at: now) }) : members.owner(of: block)
            let isMine = owner == me && turns.handedOver[block] == nil
            if isMine || turns.taken[block] != nil { owned.append(Int32(position)) }
            position += 1
        }
    }

    /// Whether the first neighbours had time to send their maps, and no full holder feeds this node.
    func mayReadStore(at now: SwarmInstant) -> Bool {
        guard let started, now >= turns.throttledUntil, !isFed(at: now) else { return false }
        guard members.count > 1 else { return true }
        let silent = neighbours.list.reduce(0) { $0 + ($1.hasMap ? 0 : 1) }
        if silent == 0, neighbours.count >= members.count - 1 { return true }
        // Peers on a busy machine take long to say what they hold, and one of them may hold everything.
        return now >= started
            + (silent * 4 <= neighbours.count ? configuration.originGrace : configuration.longestGrace)
    }

    /// Reads this node's own blocks in the common order, within the window.
    mutating func readOwned(at now: SwarmInstant) {
        guard turns.cursor < turns.owned.count, configuration.prefetches else { return }
        let window = originWindow
        var cursor = turns.cursor
        var isPrefix = true
        while cursor < turns.owned.count, fetches.fromStore < storeFetchLimit {
            let position = Int(turns.owned[cursor])
            let block = block(at: position)
            let exists = reading.exists.contains(position)
            if exists || !ledger.isMissing(block) || ledger.inFlight[block] > 0 || reading.isClaimed(position) {
                cursor += 1
                // A block that is being read may fail and come back, so the cursor stays before it.
                if isPrefix, exists {
                    turns.pass(to: cursor)
                } else {
                    isPrefix = false
                }
                continue
            }
            guard reading.holes(before: position, limit: window) < window, mayReadStore(at: now) else { return }
            let reason: SwarmStoreReason =
                members.owner(of: block) == configuration.me
                ? .owner : turns.taken[block] != nil ? .handedOver : .ownerDead
            beginStore(block, reason, at: now)
            cursor += 1
            isPrefix = false
        }
    }

    /// Reads blocks that the window has waited for too long; the next node in line reads them.
    mutating func readLate(at now: SwarmInstant) {
        guard !reading.isOver, members.count > 1, configuration.prefetches, mayReadStore(at: now) else { return }
        // Not the present rate alone: it is zero while no node reads, and the patience would then never end.
        let rate = max(arrivals.rate, arrivals.bestRate / 4)
        let patience = max(configuration.ownerPatience, arrivals.time(ofBlocks: 20, at: rate))
        let waited = now - max(reading.watermarkMoved, started ?? 0)
        guard waited > patience else { return }
        let window = originWindow
        var seen = 0
        var position = reading.watermark
        while position < configuration.blockCount, seen < min(window, 16), fetches.fromStore < storeFetchLimit {
            defer { position += 1 }
            guard !reading.exists.contains(position) else { continue }
            seen += 1
            let block = block(at: position)
            guard ledger.isMissing(block), ledger.inFlight[block] == 0, ledger.holders[block] == 0 else { continue }
            // A node claims to be reading the block: its claim is believed for four times the patience.
            let steps = Int(waited / (reading.isClaimed(position) ? patience * 4 : patience))
            guard steps > 0 else { continue }
            let inLine = (0..<min(steps, 8)).contains { members.deputy(of: block, rank: $0 + 1) == configuration.me }
            let isOwner = members.owner(of: block, skipping: { reputations.isDead($0, at: now) }) == configuration.me
            if isOwner {
                beginStore(block, .owner, at: now)
            } else if inLine, turns.budgetUsed < budget {
                turns.spendBudget()
                beginStore(block, .ownerLate, at: now)
            }
        }
    }

    /// Reads blocks again that some node has held for long while at most one neighbour holds them: that holder is too
    /// slow, stalled or dead. The nodes in line read them, one more node every second, within the budget.
    mutating func readScarce(at now: SwarmInstant) {
        guard configuration.prefetches, members.count > 1, turns.budgetUsed < budget, mayReadStore(at: now),
            now > scarceLook + .milliseconds(500)
        else { return }
        scarceLook = now
        // In a swarm of very few nodes one holder is normal.
        let isAlarming =
            arrivals.starvation.isStarved || now > arrivals.lastBlock + .seconds(3)
            || neighbours.list.reduce(0, { $0 + ($1.hasMap ? 1 : 0) }) >= 4
        guard isAlarming else { return }
        // In block times of this link at its best, because the slow peer spoils the measured fetch times. Twice as long
        // with zones: a block enters and crosses a zone through one node at a time.
        let patience =
            max(Self.scarcePatience, arrivals.time(ofBlocks: 40, at: arrivals.bestRate))
            * (imports.zone == nil ? 1 : 2)
        for position in 0..<configuration.blockCount where reading.exists.contains(position) {
            let block = block(at: position)
            guard ledger.isMissing(block), ledger.inFlight[block] <= 1, now > reading.existsSince[position] + patience,
                ledger.holders[block] <= 1 || neighbours.list.count(where: { $0.blocks.contains(block) }) <= 1
            else { continue }
            let steps = Int((now - reading.existsSince[position] - patience) / .seconds(1))
            guard (0...min(steps, 40)).contains(where: { members.deputy(of: block, rank: $0 + 1) == configuration.me })
            else { continue }
            guard turns.budgetUsed < budget, fetches.fromStore < storeFetchLimit else { return }
            turns.spendBudget()
            reading.readAgain(position, at: now)
            for record in fetches.records where record.block == block { cancel(record.id, at: now) }
            beginStore(block, .ownerLate, at: now)
        }
    }

    /// Longer than a block takes to reach all of some thousand nodes.
    private static let scarcePatience: SwarmNanoseconds = .seconds(6)

    /// Reads or fetches blocks that peers asked this node for as their owner.
    mutating func readWanted(at now: SwarmInstant) {
        for block in turns.takeWanted() where ledger.isMissing(block) && ledger.inFlight[block] == 0 {
            if ledger.holders[block] > 0, let source = source(for: block, urgent: true, at: now) {
                beginPeer(block, source, urgent: true, at: now)
            } else if fetches.fromStore < storeFetchLimit, mayReadStore(at: now), ledger.holders[block] == 0,
                isUnreachable(block, at: now),
                members.owner(of: block, skipping: { reputations.isDead($0, at: now) }) == configuration.me
            {
                beginStore(block, members.owner(of: block) == configuration.me ? .owner : .ownerDead, at: now)
            }
        }
    }

    /// Whether no node holds the block, or its holders are out of reach: nothing arrived for five seconds.
    func isUnreachable(_ block: Int, at now: SwarmInstant) -> Bool {
        !reading.exists.contains(position(of: block)) || now > arrivals.lastBlock + .seconds(5)
    }

    mutating func beginStore(_ block: Int, _ reason: SwarmStoreReason, at now: SwarmInstant) {
        let id = fetches.begin(
            block, from: nil, urgent: demands.waiting.contains(block), expected: fetches.mean, at: now)
        ledger.fetchBegan(block)
        reading.claim(position(of: block))
        turns.count(reason)
        if configuration.relays { news.arriving(block) }
        actions.append(.fetchFromStore(id, block: block, reason: reason))
    }
}
