// Who reads from the store, and when.

extension SwarmPlanner {
    /// Blocks the whole swarm reads at once. Eight: each shares its reader's link with blocks from peers, so that four would leave
    /// a part of the store's rate unused; and each of more would come so slowly that it could not be passed on for long.
    /// On a fast network as many as the store gives while the news that one was read goes around, and a store begins its answer: 80 ms.
    var originWindow: Int {
        if members.count <= 1 { return .max }
        if configuration.originWindow > 0 { return configuration.originWindow }
        return max(8, min(128, blocks(in: .milliseconds(80), at: bestRate)))
    }

    // MARK: How far the reading is

    mutating func markExisting(_ position: Int, at now: SwarmInstant) {
        claimed.insert(position)
        guard exists.insert(position) else { return }
        existsSince[position] = now
        guard position == watermark else { return }
        watermark = exists.firstMissing(from: watermark)
        watermarkMoved = now
    }

    mutating func adopt(_ gossip: SwarmGossip, at now: SwarmInstant) {
        guard now >= gossipBelievedFrom else { return }
        let far = min(gossip.watermark, configuration.blockCount)
        if far > watermark {
            for position in watermark..<far where !exists.contains(position) {
                exists.insert(position)
                existsSince[position] = now
                claimed.insert(position)
            }
            watermark = exists.firstMissing(from: far)
            watermarkMoved = now
        }
        if let age = gossip.fullAge, age < 600 {
            let then = SwarmNanoseconds.milliseconds(100) * UInt64(age)
            if then < now, then < Self.fullMemory { heardFull(at: now - then) }
        }
        for (index, word) in gossip.beyond.enumerated() where word != 0 {
            var rest = word
            while rest != 0 {
                let position = far + index * 64 + rest.trailingZeroBitCount
                rest &= rest &- 1
                if position < configuration.blockCount, position >= watermark { markExisting(position, at: now) }
            }
        }
        for (index, word) in gossip.claimed.enumerated() where word != 0 {
            var rest = word
            while rest != 0 {
                let position = far + index * 64 + rest.trailingZeroBitCount
                rest &= rest &- 1
                if position >= watermark { hearsay.insert(position) }
            }
        }
    }

    /// What is said to exist exists no more than those who hold it are worth. Everything is taken back but what this node and its
    /// neighbours hold themselves, and gossip is not listened to until the neighbours had time to do likewise.
    mutating func believeFirstHandOnly(at now: SwarmInstant) {
        gossipBelievedFrom = now + .seconds(1)
        hearsay = BlockSet(capacity: configuration.blockCount)
        fullHeard = nil
        for position in 0..<configuration.blockCount {
            let block = block(at: position)
            let isHeld = have.contains(block) || neighbours.contains { $0.hasMap && $0.blocks.contains(block) }
            if !isHeld {
                exists.remove(position)
                overdue.remove(position)
                holeSince[position] = 0
                if holders[block] == 0, inFlight[block] == 0 { claimed.remove(position) }
            }
        }
        watermark = exists.firstMissing(from: 0)
        watermarkMoved = now
    }

    /// Nothing is on its way and nobody offers anything, though blocks are said to exist: whoever said so first was wrong, or
    /// is gone, and the others pass it on to each other.
    mutating func forgetHearsay(at now: SwarmInstant) {
        guard candidates.isEmpty, fetches.isEmpty, now > lastArrival + .seconds(3), now > gossipBelievedFrom + .seconds(5),
            configuration.prefetches || !demandQueue.isEmpty, !isFed(at: now)
        else { return }
        believeFirstHandOnly(at: now)
        findOwned(at: now)
    }

    func gossip(at now: SwarmInstant) -> SwarmGossip {
        var age: Int?
        if have.isFull {
            age = 0
        } else if let fullHeard, hasFullHolder(at: now) {
            age = Int((now - min(now, fullHeard)) / .milliseconds(100))
        }
        return SwarmGossip(watermark: watermark, beyond: mask(of: exists), claimed: mask(of: claimed), fullAge: age)
    }

    // MARK: Full holders

    /// Whether somebody holds everything, as far as is known: then nobody reads the store.
    func hasFullHolder(at now: SwarmInstant) -> Bool {
        guard let fullHeard else { return false }
        return now < fullHeard + Self.fullMemory
    }

    /// Nobody reads the store while a full holder lives and blocks arrive: one that was there at the start, a seeder, may have
    /// many to feed and is waited for longer than one that ended just now, perhaps with a slow uplink.
    func isFed(at now: SwarmInstant) -> Bool {
        hasFullHolder(at: now) && now < (isSeeded ? lastProgress + configuration.lastResort : lastArrival + .seconds(3))
    }

    mutating func heardFull(at then: SwarmInstant) {
        if fullHeard == nil {
            tellsFull = true
            isSeeded = then < (started ?? then) + .seconds(2)
        }
        fullHeard = max(fullHeard ?? 0, then)
    }

    /// Many heartbeats, so that it outlives the way through thousands of nodes.
    private static let fullMemory: SwarmNanoseconds = .seconds(8)

    private func mask(of set: BlockSet) -> [UInt64] {
        guard watermark < set.capacity else { return [] }
        var words: [UInt64] = []
        let shift = UInt64(watermark & 63)
        let base = watermark >> 6
        for index in 0..<SwarmGossip.words where base + index < set.words.count {
            var word = set.words[base + index] >> shift
            if shift > 0, base + index + 1 < set.words.count { word |= set.words[base + index + 1] << (64 - shift) }
            words.append(word)
        }
        while words.last == 0 { words.removeLast() }
        return words
    }

    /// The window does not wait for an owner that takes twice what its turn should take: slow and dead ones would hold up all
    /// others. Four windows of such blocks at most.
    mutating func watchWindow(at now: SwarmInstant) {
        guard watermark < configuration.blockCount, members.count > 1 else { return }
        let window = originWindow
        // At the best rate seen: a window that stands still makes the present one low.
        let patience = max(.milliseconds(1500), time(ofBlocks: 2 * window, at: bestRate))
        var seen = 0
        var late = 0
        var position = watermark
        while position < configuration.blockCount, seen < window {
            defer { position += 1 }
            guard !exists.contains(position) else { continue }
            if overdue.contains(position) {
                late += 1
            } else if holeSince[position] == 0 {
                holeSince[position] = now
                seen += 1
            } else if now > holeSince[position] + patience, late < window * 4 {
                overdue.insert(position)
                late += 1
            } else {
                seen += 1
            }
        }
    }

    /// Positions before `position` that nobody holds, overdue ones left out, counted up to `limit`.
    func holes(before position: Int, limit: Int) -> Int {
        guard position > watermark else { return 0 }
        var count = 0
        var index = watermark >> 6
        var word = ~(exists.words[index] | overdue.words[index]) & (UInt64.max << UInt64(watermark & 63))
        while index <= position >> 6 {
            if index == position >> 6 { word &= (1 << UInt64(position & 63)) - 1 }
            count += word.nonzeroBitCount
            if count >= limit { return count }
            index += 1
            guard index < exists.words.count else { break }
            word = ~(exists.words[index] | overdue.words[index])
        }
        return count
    }

    @inline(__always) private func isClaimed(_ position: Int) -> Bool { claimed.contains(position) || hearsay.contains(position) }

    // MARK: Reading

    /// Which blocks are this node's to read, after members came, went or died.
    mutating func findOwned(at now: SwarmInstant) {
        findCrossable(at: now)
        owned.removeAll(keepingCapacity: true)
        ownedCursor = 0
        guard members.count > 0 else { return }
        let anyDead = reputations.values.contains { $0.deadUntil > now }
        let me = configuration.me
        var position = anyDead ? 0 : watermark
        while position < configuration.blockCount {
            let block = block(at: position)
            let owner = anyDead ? members.owner(of: block, skipping: { isDead($0, at: now) }) : members.owner(of: block)
            if owner == me { owned.append(Int32(position)) }
            position += 1
        }
    }

    /// Whether the first neighbours had their chance to say what they hold, and nobody feeds this node.
    func mayReadStore(at now: SwarmInstant) -> Bool {
        guard let started, now >= throttledUntil, !isFed(at: now) else { return false }
        guard members.count > 1 else { return true }
        let silent = neighbours.reduce(0) { $0 + ($1.hasMap ? 0 : 1) }
        if silent == 0, neighbours.count >= members.count - 1 { return true }
        // Peers on a busy machine take long to say what they hold, and one of them may hold everything.
        return now >= started + (silent * 4 <= neighbours.count ? configuration.originGrace : configuration.longestGrace)
    }

    /// Reads this node's own blocks, in the common order, inside the window.
    mutating func readOwned(at now: SwarmInstant) {
        guard ownedCursor < owned.count, configuration.prefetches else { return }
        let window = originWindow
        var cursor = ownedCursor
        var isPrefix = true
        while cursor < owned.count, storeFetchCount < storeFetchLimit {
            let position = Int(owned[cursor])
            let block = block(at: position)
            if position < watermark || exists.contains(position) || have.contains(block) || inFlight[block] > 0 || isClaimed(position) {
                cursor += 1
                // Blocks being read may fail and come back: the cursor stays before them.
                if isPrefix, position < watermark || exists.contains(position) { ownedCursor = cursor } else { isPrefix = false }
                continue
            }
            guard holes(before: position, limit: window) < window, mayReadStore(at: now) else { return }
            let reason: SwarmStoreReason = members.owner(of: block) == configuration.me ? .owner : .ownerDead
            beginStore(block, reason, at: now)
            cursor += 1
            isPrefix = false
        }
    }

    /// Blocks that the window has waited for too long: the next in line reads them.
    mutating func readLate(at now: SwarmInstant) {
        guard watermark < configuration.blockCount, members.count > 1, configuration.prefetches, mayReadStore(at: now) else { return }
        // Not at the present rate alone: where nobody reads nothing arrives, and whoever waits longer for that waits for ever.
        let patience = max(configuration.ownerPatience, time(ofBlocks: 20, at: max(rate, bestRate / 4)))
        let waited = now - max(watermarkMoved, started ?? 0)
        guard waited > patience else { return }
        let window = originWindow
        var seen = 0
        var position = watermark
        while position < configuration.blockCount, seen < min(window, 16), storeFetchCount < storeFetchLimit {
            defer { position += 1 }
            guard !exists.contains(position) else { continue }
            seen += 1
            let block = block(at: position)
            guard !have.contains(block), inFlight[block] == 0, holders[block] == 0 else { continue }
            // Somebody said that it is reading it: four times the patience before that is not believed.
            let steps = Int(waited / (isClaimed(position) ? patience * 4 : patience))
            guard steps > 0 else { continue }
            let inLine = (0..<min(steps, 8)).contains { members.deputy(of: block, rank: $0 + 1) == configuration.me }
            let isOwner = members.owner(of: block, skipping: { isDead($0, at: now) }) == configuration.me
            if isOwner {
                beginStore(block, .owner, at: now)
            } else if inLine, budgetUsed < budget {
                budgetUsed += 1
                beginStore(block, .ownerLate, at: now)
            }
        }
    }

    /// Blocks that somebody has held for long while at most one neighbour came to hold them: their holder is too slow, stalled,
    /// or dead. The next in line reads them again, one after the other every second, within the budget.
    mutating func readScarce(at now: SwarmInstant) {
        guard configuration.prefetches, members.count > 1, budgetUsed < budget, mayReadStore(at: now), now > scarceLook + .milliseconds(500)
        else { return }
        scarceLook = now
        // Among very few, one holder is the rule.
        let isAlarming = crawl.isCrawling || now > lastArrival + .seconds(3) || neighbours.reduce(0, { $0 + ($1.hasMap ? 1 : 0) }) >= 4
        guard isAlarming else { return }
        // In block times of this link at its best: what is known of fetches is spoilt by the very peer that is too slow.
        // Into and through zones a block goes by one node each.
        let patience = max(Self.scarcePatience, time(ofBlocks: 40, at: bestRate)) * (zone == nil ? 1 : 2)
        for position in 0..<configuration.blockCount where exists.contains(position) {
            let block = block(at: position)
            guard !have.contains(block), inFlight[block] <= 1, now > existsSince[position] + patience,
                holders[block] <= 1 || neighbours.reduce(0, { $0 + ($1.blocks.contains(block) ? 1 : 0) }) <= 1
            else { continue }
            let steps = Int((now - existsSince[position] - patience) / .seconds(1))
            guard (0...min(steps, 40)).contains(where: { members.deputy(of: block, rank: $0 + 1) == configuration.me }) else { continue }
            guard budgetUsed < budget, storeFetchCount < storeFetchLimit else { return }
            budgetUsed += 1
            existsSince[position] = now
            for record in fetches where record.block == block { cancel(record.id, at: now) }
            beginStore(block, .ownerLate, at: now)
        }
    }

    /// Longer than a block takes to get around among thousands of nodes.
    private static let scarcePatience: SwarmNanoseconds = .seconds(6)

    /// Blocks that peers asked this node for, because it owns them.
    mutating func readWanted(at now: SwarmInstant) {
        guard !wantedHere.isEmpty else { return }
        let wanted = wantedHere
        wantedHere.removeAll(keepingCapacity: true)
        for block in wanted where !have.contains(block) && inFlight[block] == 0 {
            if holders[block] > 0, let source = source(for: block, urgent: true, at: now) {
                beginPeer(block, source, urgent: true, at: now)
            } else if storeFetchCount < storeFetchLimit, mayReadStore(at: now), holders[block] == 0,
                isUnreachable(block, at: now),
                members.owner(of: block, skipping: { isDead($0, at: now) }) == configuration.me
            {
                beginStore(block, members.owner(of: block) == configuration.me ? .owner : .ownerDead, at: now)
            }
        }
    }

    /// Whether nobody holds the block, or whoever holds it is out of reach: nothing came for five seconds.
    func isUnreachable(_ block: Int, at now: SwarmInstant) -> Bool {
        !exists.contains(position(of: block)) || now > lastArrival + .seconds(5)
    }

    mutating func beginStore(_ block: Int, _ reason: SwarmStoreReason, at now: SwarmInstant) {
        let id = SwarmFetch(nextFetch)
        nextFetch += 1
        fetches.append(
            SwarmFetchRecord(
                id: id, block: block, peer: nil, began: now, lastByte: now, urgent: demanded.contains(block),
                fromArriving: false, queue: 1, expected: meanFetch))
        storeFetchCount += 1
        inFlight[block] += 1
        removeCandidate(block)
        claimed.insert(position(of: block))
        storeReadCounts[reason, default: 0] += 1
        if configuration.relays { pending.arriving.append(block) }
        actions.append(.fetchFromStore(id, block: block, reason: reason))
    }
}
