// Which block next, and from which peer.

extension SwarmPlanner {
    /// Begins whatever can be begun, the most wanted first.
    mutating func fill(at now: SwarmInstant) {
        guard !have.isFull else { return }
        if !demandQueue.isEmpty { serveDemands(at: now) }
        readWanted(at: now)
        readOwned(at: now)
        guard configuration.prefetches || !soon.isEmpty else { return }
        let limit = fetchLimit
        while peerFetchCount < limit {
            if let block = nextSoon(at: now) {
                guard let source = source(for: block, urgent: false, at: now) else { continue }
                beginPeer(block, source, urgent: false, at: now)
                continue
            }
            guard configuration.prefetches, let (block, source) = choose(at: now) else { break }
            beginPeer(block, source, urgent: false, at: now)
        }
    }

    /// Fetches at once, from peers and the store together, that this node's own link bears: as many as arrive in two seconds.
    /// More would share it so finely that none comes for long, and each keeps a peer's upload busy meanwhile. Few until
    /// something has arrived, since nothing is known of the link before.
    var bearable: Int {
        guard rate > 0 else { return hasReceived ? configuration.peerFetches : 4 }
        // A link does not become narrow because peers are slow.
        return blocks(in: .seconds(2), at: max(rate, bestRate / 2)) + 2
    }

    /// Blocks that come in such a time at `rate`, in bytes a nanosecond.
    func blocks(in span: SwarmNanoseconds, at rate: Double) -> Int {
        Int(rate * Double(span) / Double(max(1, configuration.blockBytes)))
    }

    /// How long `count` blocks take at `rate`, a minute at most; 0 while the rate is not known.
    func time(ofBlocks count: Int, at rate: Double) -> SwarmNanoseconds {
        rate > 0 ? SwarmNanoseconds(min(Double(count) * Double(configuration.blockBytes) / rate, 60e9)) : 0
    }

    /// Fetches from peers at once: the configured few, or ``fastFetches``. Fewer while this node reads from the store: all others wait for
    /// that block, which comes at one part in ``originWindow`` of the store's rate, and must have as large a share of this node's link.
    /// A link so slow that it bears not even the configured few has four less for each.
    var fetchLimit: Int {
        let limit = min(max(configuration.peerFetches, fastFetches), bearable)
        guard storeFetchCount > 0 else { return limit }
        return max(1, limit < configuration.peerFetches ? limit - 4 * storeFetchCount : min(limit, originWindow - 1 - storeFetchCount))
    }

    /// Fetches that a fast network has on its way: what arrives while news takes its way, an announcement and a request, here 60 ms.
    /// Nearly as many as ``originWindow``: what is relayed from the store comes at one part in so many of its rate, and few fetches
    /// that are all of that kind would never fill this node's link.
    var fastFetches: Int { min(128, blocks(in: .milliseconds(60), at: bestRate)) }

    /// Few at first for one that is alone too: others may start just after it, and wait for what it has begun to read.
    var storeFetchLimit: Int {
        members.count <= 1 && bestRate > 0 ? configuration.storeFetches : min(configuration.storeFetches, bearable)
    }

    // MARK: Demands

    mutating func demand(_ ranges: [Range<Int>], at now: SwarmInstant) {
        for range in ranges {
            let wanted = range.clamped(to: 0..<configuration.blockCount)
            for block in wanted where !have.contains(block) && demanded.insert(block) {
                demandQueue.append(SwarmDemand(block: block, since: now))
            }
            let ahead = wanted.upperBound..<min(configuration.blockCount, wanted.upperBound + configuration.readAhead)
            soon.removeAll(keepingCapacity: true)
            for block in ahead where !have.contains(block) { soon.append(Int32(block)) }
        }
    }

    private mutating func nextSoon(at now: SwarmInstant) -> Int? {
        while !soon.isEmpty {
            let block = Int(soon.removeFirst())
            if candidates.contains(block) { return block }
        }
        return nil
    }

    private mutating func serveDemands(at now: SwarmInstant) {
        demandQueue.removeAll { have.contains($0.block) || !demanded.contains($0.block) }
        let limit = fetchLimit + 4
        let patience = demandPatience
        let deadline = max(configuration.demandDeadline, patience * 5)
        var turn = DemandTurn()
        for demand in demandQueue.prefix(Self.demandsServed) {
            let block = demand.block
            let isUnread = holders[block] == 0 && !exists.contains(position(of: block))
            let isFar = (isUnread || inFlight[block] > 0) && !isNearWindow(position(of: block))
            turn.meet(block, isUnread: isUnread, isFar: isFar)
            guard inFlight[block] == 0 else { continue }
            let waited = now - demand.since
            if holders[block] > 0 {
                // Readers on all nodes wait for the same blocks: were these asked for first, everybody would crowd around their few
                // holders. Prefetch spreads them faster; a reader steps in where that takes too long, or few others want the block.
                let lacking = neighbours.count - Int(holders[block])
                let isUrgent = waited >= patience || !configuration.prefetches || lacking <= 2
                guard isUrgent || lacking * 3 <= Int(holders[block]), peerFetchCount < (isUrgent ? limit : fetchLimit) else { continue }
                if let source = source(for: block, urgent: isUrgent, at: now) {
                    beginPeer(block, source, urgent: isUrgent, at: now)
                    continue
                }
            } else if mayReadStore(at: now), isUnread || waited >= .seconds(5) {
                // What the window is about to reach is on its way to everybody: many reads at once would only share the store's
                // rate more finely. Out of turn comes what is far from it, a few at a time, since all readers may ask alike.
                if isUnread, configuration.prefetches, members.count > 1, waited < deadline {
                    guard isFar ? turn.allowsFar : waited >= patience * 2 else { continue }
                }
                let owner = members.owner(of: block, skipping: { isDead($0, at: now) || isShunned($0, at: now) })
                if owner == configuration.me || owner == nil {
                    guard storeFetchCount < storeFetchLimit else { continue }
                    beginStore(block, members.owner(of: block) == configuration.me ? .owner : .ownerDead, at: now)
                    continue
                }
                if let owner, peerFetchCount < limit, !isOutstanding(block, at: owner) {
                    beginPeer(block, owner, urgent: true, at: now)
                    continue
                }
            }
            if waited >= deadline, budgetUsed < budget, storeFetchCount < storeFetchLimit,
                mayReadStore(at: now)
            {
                budgetUsed += 1
                beginStore(block, .demandLate, at: now)
            }
        }
    }

    /// How long a reader leaves a block that few hold, or that is about to be read, to prefetch.
    private var demandPatience: SwarmNanoseconds {
        guard bestRate > 0 else { return configuration.demandPatience * 2 }
        return max(configuration.demandPatience, time(ofBlocks: 40, at: bestRate))
    }

    /// Demands looked at for each event, the oldest first.
    private static let demandsServed = 32

    /// What is met while demands are gone through in their order, and so whether one more far from the window may be asked for out of turn.
    private struct DemandTurn {
        private var outOfTurn = 0
        private var awaitedNear = 0
        private var previous = -1
        /// Demanded blocks far from the window which one node has read out of turn at once.
        private static let limit = 2
        /// Blocks between two demands of one reader at most: more, or backwards, and it is another's.
        private static let readersStride = 32

        var allowsFar: Bool { outOfTurn + awaitedNear <= Self.limit }

        mutating func meet(_ block: Int, isUnread: Bool, isFar: Bool) {
            if block < previous || block > previous + Self.readersStride { awaitedNear = 0 }
            previous = block
            // What was asked for out of turn counts until it is here. Were it only until its owner begins to read, one reader would have
            // dozens read at once, each with so small a part of the store's rate that everybody's fetches would be full of relays of them.
            if isFar { outOfTurn += 1 }
            // And whoever waits for what is near has no use yet for what comes after it.
            if !isFar, isUnread { awaitedNear += 1 }
        }
    }

    private func isNearWindow(_ position: Int) -> Bool {
        // One that is alone has no turns.
        guard members.count > 1 else { return true }
        let window = originWindow * 2
        return holes(before: position, limit: window) < window
    }

    private func isOutstanding(_ block: Int, at peer: SwarmPeer) -> Bool {
        fetches.contains { $0.block == block && $0.peer == peer }
    }

    // MARK: Prefetch

    /// The peer first, then the block: the least busy of a few neighbours picked at random, and the rarest
    /// block that it has for us. The other way round, all nodes would crowd around the few that hold
    /// the newest blocks while other uplinks stand idle.
    ///
    /// Equally rare blocks come in random order, so that no two nodes fetch alike; blocks that most neighbours
    /// hold come in reading order, so that readers find what comes next.
    private mutating func choose(at now: SwarmInstant) -> (Int, SwarmPeer)? {
        guard !candidates.isEmpty, !neighbours.isEmpty else { return nil }
        let count = neighbours.count
        let hasFar = zone != nil && !candidates.isDisjoint(with: crossable)
        let start = random.below(count)
        let stride = Self.stride(count, random.below(64))
        var refused: UInt64 = 0
        for _ in 0..<3 {
            var best = -1
            var bestCost = Double.infinity
            var usable = 0
            var index = start
            for step in 0..<count {
                defer { index = (index + stride) % count }
                if step < 64, refused & (1 << UInt64(step)) != 0 { continue }
                guard neighbours[index].isNear || hasFar, isUsable(index, urgent: false, at: now) else { continue }
                usable += 1
                let price = cost(index)
                if price < bestCost {
                    bestCost = price
                    best = step
                }
                if usable == configuration.choices { break }
            }
            guard best >= 0 else { break }
            let chosen = (start + best * stride) % count
            if let block = rarest(at: chosen, now) { return (block, neighbours[chosen].peer) }
            guard best < 64 else { break }
            refused |= 1 << UInt64(best)
        }
        // None of those: any block that somebody can give.
        for _ in 0..<4 {
            guard let block = candidates.member(from: random.below(configuration.blockCount)) else { break }
            if let source = source(for: block, urgent: false, at: now) { return (block, source) }
        }
        return nil
    }

    /// A step that visits every one of `count` places.
    private static func stride(_ count: Int, _ wish: Int) -> Int {
        var stride = wish % max(1, count - 1) + 1
        while gcd(stride, count) != 1 { stride += 1 }
        return stride
    }

    private static func gcd(_ left: Int, _ right: Int) -> Int { right == 0 ? left : gcd(right, left % right) }

    /// Of what the neighbour has for us, up to 64 blocks from a random place on are compared.
    private mutating func rarest(at index: Int, _ now: SwarmInstant) -> Int? {
        let plenty = max(4, UInt64(neighbours.count) * 3 / 4)
        var best: Int?
        var bestKey = UInt64.max
        var random = random
        defer { self.random = random }
        func consider(_ block: Int) {
            let rarity = min(UInt64(holders[block]), plenty)
            let order = rarity == plenty ? UInt64(position(of: block)) : random.next() >> 33
            let key = rarity << 32 | order
            if key < bestKey {
                bestKey = key
                best = block
            }
        }
        let isNear = neighbours[index].isNear
        for block in neighbours[index].arriving where candidates.contains(Int(block)) && mayRelay(Int(block), at: now) && (isNear || crossable.contains(Int(block))) {
            consider(Int(block))
        }
        let words = candidates.words.count
        let start = random.below(words)
        var seen = 0
        for step in 0..<words where seen < 64 {
            let place = start + step < words ? start + step : start + step - words
            var word = candidates.words[place] & neighbours[index].blocks.words[place]
            if !isNear { word &= crossable.words[place] }
            seen += word.nonzeroBitCount
            while word != 0 {
                consider(place * 64 + word.trailingZeroBitCount)
                word &= word &- 1
            }
        }
        return best
    }

    /// Whether a request may go to the neighbour now.
    private func isUsable(_ index: Int, urgent: Bool, at now: SwarmInstant) -> Bool {
        // Where queues are long everywhere, a node that fell behind and knows only a low rate would find nobody to ask.
        let everywhere = meanQueue > 2 * configuration.longestQueue ? meanQueue * 5 / 4 : 0
        let longest = max(configuration.longestQueue, fastFetches, everywhere)
        let crowd = urgent ? longest * 4 : longest
        let few = max(configuration.fetchesPerPeer, max(configuration.peerFetches, 2 * fastFetches) / max(1, neighbours.count))
        let perPeer = urgent ? few + 2 : few
        return neighbours[index].hasMap && neighbours[index].outstanding < perPeer && neighbours[index].queue < crowd
            && now < neighbours[index].lastHeard + configuration.silence && !isShunned(neighbours[index].peer, at: now)
    }

    /// Whether the block may be taken from a neighbour that has not all of it yet.
    private func mayRelay(_ block: Int, at now: SwarmInstant) -> Bool {
        relayBarred.isEmpty || (relayBarred[block] ?? 0) <= now
    }

    func isShunned(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        guard !reputations.isEmpty, let reputation = reputations[peer] else { return false }
        return reputation.shunnedUntil > now
    }

    /// The neighbour to take `block` from: of two holders picked at random, the one that would bring it
    /// sooner. nil: those that hold it are too busy, shunned or silent now.
    mutating func source(
        for block: Int, urgent: Bool, excluding: SwarmPeer? = nil, wholeOnly: Bool = false, at now: SwarmInstant
    ) -> SwarmPeer? {
        // Random start, then the first two that will do: as good as two picks among them, and cheap.
        let count = neighbours.count
        guard count > 0 else { return nil }
        let start = random.below(count)
        var first: Int?
        for step in 0..<count {
            let index = start + step < count ? start + step : start + step - count
            guard neighbours[index].blocks.contains(block)
                || (!wholeOnly && !neighbours[index].arriving.isEmpty && neighbours[index].arriving.contains(Int32(block)) && mayRelay(block, at: now))
            else { continue }
            guard neighbours[index].isNear || mayCross(block, urgent: urgent) else { continue }
            guard neighbours[index].peer != excluding, isUsable(index, urgent: urgent, at: now) else { continue }
            guard let earlier = first else {
                first = index
                continue
            }
            return neighbours[cost(index) < cost(earlier) ? index : earlier].peer
        }
        return first.map { neighbours[$0].peer }
    }

    private func cost(_ index: Int) -> Double {
        let own = neighbours[index].service
        let service = own > 0 ? min(own, meanService * 16) : max(1, meanService)
        return Double(neighbours[index].queue + 1) * service
    }

    mutating func beginPeer(_ block: Int, _ peer: SwarmPeer, urgent: Bool, at now: SwarmInstant) {
        let id = SwarmFetch(nextFetch)
        nextFetch += 1
        var fromArriving = false
        var expected = max(meanFetch, 1)
        var before = 1
        if let slot = slots[peer] {
            fromArriving = !neighbours[slot].blocks.contains(block)
            neighbours[slot].outstanding += 1
            neighbours[slot].sentSinceHeard += 1
            before = max(1, neighbours[slot].queue)
            expected = max(expected, cost(slot))
        }
        fetches.append(
            SwarmFetchRecord(
                id: id, block: block, peer: peer, began: now, lastByte: now, urgent: urgent,
                fromArriving: fromArriving, queue: before, expected: expected))
        peerFetchCount += 1
        inFlight[block] += 1
        removeCandidate(block)
        // What only full holders have is announced like what comes from the store, so that others ask them for something else.
        if configuration.relays, holders[block] <= 1, let slot = slots[peer], neighbours[slot].blocks.isFull { pending.arriving.append(block) }
        actions.append(.fetchFromPeer(id, peer, block: block, urgent: urgent))
    }
}
