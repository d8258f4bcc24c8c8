// Who reads from the store, and when.

extension SwarmPlanner {
    /// Blocks the whole swarm reads at once: a hundredth of the model, so that about a hundredth of the
    /// wire time passes before the first block can be passed on, and a store that takes less than that to
    /// begin its answer is still read at full speed. At least eight: each shares its reader's link with blocks from
    /// peers, so that four would leave a part of the store's rate unused.
    var originWindow: Int {
        if members.count <= 1 { return .max }
        if configuration.originWindow > 0 { return configuration.originWindow }
        return min(128, max(8, configuration.blockCount / 100))
    }

    // MARK: How far the reading is

    mutating func markExisting(_ position: Int, at now: SwarmInstant) {
        claimed.insert(position)
        guard exists.insert(position), position == watermark else { return }
        watermark = exists.firstMissing(from: watermark)
        watermarkMoved = now
    }

    mutating func adopt(_ gossip: SwarmGossip, at now: SwarmInstant) {
        let far = min(gossip.watermark, configuration.blockCount)
        if far > watermark {
            for position in watermark..<far where !exists.contains(position) {
                exists.insert(position)
                claimed.insert(position)
            }
            watermark = exists.firstMissing(from: far)
            watermarkMoved = now
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

    func gossip() -> SwarmGossip {
        SwarmGossip(watermark: watermark, beyond: mask(of: exists), claimed: mask(of: claimed))
    }

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

    /// Positions before `position` that nobody holds, counted up to `limit`.
    func holes(before position: Int, limit: Int) -> Int {
        guard position > watermark else { return 0 }
        var count = 0
        var index = watermark >> 6
        var word = ~exists.words[index] & (UInt64.max << UInt64(watermark & 63))
        while index <= position >> 6 {
            if index == position >> 6 { word &= (1 << UInt64(position & 63)) - 1 }
            count += word.nonzeroBitCount
            if count >= limit { return count }
            index += 1
            guard index < exists.words.count else { break }
            word = ~exists.words[index]
        }
        return count
    }

    @inline(__always) private func isClaimed(_ position: Int) -> Bool { claimed.contains(position) || hearsay.contains(position) }

    // MARK: Reading

    /// Which blocks are this node's to read, after members came, went or died.
    mutating func findOwned(at now: SwarmInstant) {
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

    /// Whether the first neighbours had their chance to say what they hold.
    func mayReadStore(at now: SwarmInstant) -> Bool {
        guard let started, now >= throttledUntil else { return false }
        if members.count <= 1 || now >= started + configuration.originGrace { return true }
        return !neighbours.isEmpty && neighbours.allSatisfy { $0.hasMap }
    }

    /// Reads this node's own blocks, in the common order, inside the window.
    mutating func readOwned(at now: SwarmInstant) {
        guard ownedCursor < owned.count, configuration.prefetches else { return }
        let window = originWindow
        var cursor = ownedCursor
        var isPrefix = true
        while cursor < owned.count, storeFetchCount < configuration.storeFetches {
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
        let blockTime = rate > 0 ? Double(configuration.blockBytes) / rate : 0
        let patience = max(configuration.ownerPatience, SwarmNanoseconds(min(blockTime * 20, 60e9)))
        let waited = now - max(watermarkMoved, started ?? 0)
        guard waited > patience else { return }
        let window = originWindow
        var seen = 0
        var position = watermark
        while position < configuration.blockCount, seen < min(window, 16), storeFetchCount < configuration.storeFetches {
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

    /// Blocks that peers asked this node for, because it owns them.
    mutating func readWanted(at now: SwarmInstant) {
        guard !wantedHere.isEmpty else { return }
        let wanted = wantedHere
        wantedHere.removeAll(keepingCapacity: true)
        for block in wanted where !have.contains(block) && inFlight[block] == 0 {
            if holders[block] > 0, let source = source(for: block, urgent: true, at: now) {
                beginPeer(block, source, urgent: true, at: now)
            } else if storeFetchCount < configuration.storeFetches, mayReadStore(at: now), holders[block] == 0,
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
