// Which block this node fetches next, and from which peer.

extension SwarmPlanner {
    /// Begins every fetch that can begin, in order of need.
    mutating func fill(at now: SwarmInstant) {
        guard !ledger.isSatisfied else { return }
        if !demands.isEmpty { serveDemands(at: now) }
        readAgain(at: now)
        readWanted(at: now)
        readOwned(at: now)
        guard configuration.prefetches || !demands.isSoonEmpty else { return }
        let limit = fetchLimit
        while fetches.fromPeers < limit {
            if let block = demands.nextSoon(among: ledger.candidates) {
                guard let source = source(for: block, urgent: false, at: now) else { continue }
                beginPeer(block, source, urgent: false, at: now)
                continue
            }
            guard configuration.prefetches, let (block, source) = choose(at: now) else { break }
            beginPeer(block, source, urgent: false, at: now)
        }
    }

    /// Fetches at once, from peers and the store together, that this node's link bears: the blocks that arrive in two
    /// seconds. With more, each gets so small a share that none ends for long, and each keeps a peer's upload busy.
    /// Four until the first block arrives, since the link's rate is not known before.
    var bearable: Int {
        guard arrivals.rate > 0 else { return arrivals.hasReceived ? configuration.peerFetches : 4 }
        // Slow peers do not make this link narrow.
        return arrivals.blocks(in: .seconds(2), at: max(arrivals.rate, arrivals.bestRate / 2)) + 2
    }

    /// Fetches from peers at once: the configured few, or ``fastFetches``. Fewer while this node reads from the store:
    /// all others wait for that block, which gets a share of 1/``originWindow`` of the store's rate and needs as large
    /// a share of this link. A link that bears less than the configured few has four fetches less for each store read.
    var fetchLimit: Int {
        let limit = min(max(configuration.peerFetches, fastFetches), bearable)
        guard fetches.fromStore > 0 else { return limit }
        return max(
            1,
            limit < configuration.peerFetches
                ? limit - 4 * fetches.fromStore : min(limit, originWindow - 1 - fetches.fromStore))
    }

    /// Fetches that a fast network has in flight: the blocks that arrive in the 60 ms of an announcement and a request.
    /// Nearly as many as ``originWindow``: a block relayed from the store comes at 1/``originWindow`` of its rate, and
    /// few such fetches would never fill this node's link.
    var fastFetches: Int { min(128, arrivals.blocks(in: .milliseconds(60), at: arrivals.bestRate)) }

    /// Few at first even for a node that is alone: others may start just after it and wait for blocks that it reads.
    var storeFetchLimit: Int {
        members.count <= 1 && arrivals.bestRate > 0
            ? configuration.storeFetches : min(configuration.storeFetches, bearable)
    }

    // MARK: Demands

    mutating func demand(_ ranges: [Range<Int>], at now: SwarmInstant) {
        for range in ranges {
            let wanted = range.clamped(to: 0..<configuration.blockCount)
            let ahead = wanted.upperBound..<min(configuration.blockCount, wanted.upperBound + configuration.readAhead)
            let ledger = ledger
            demands.ask(wanted, ahead: ahead, isMissing: { ledger.isMissing($0) }, at: now)
        }
    }

    private mutating func serveDemands(at now: SwarmInstant) {
        let limit = fetchLimit + 4
        let patience = demandPatience
        let deadline = max(configuration.demandDeadline, patience * 5)
        var turn = DemandTurn()
        for demand in demands.queue.prefix(Self.demandsServed) {
            let block = demand.block
            let isUnread = ledger.holders[block] == 0 && !reading.exists.contains(position(of: block))
            let isFar = (isUnread || ledger.inFlight[block] > 0) && !isNearWindow(position(of: block))
            turn.meet(block, isUnread: isUnread, isFar: isFar)
            guard ledger.inFlight[block] == 0 else { continue }
            let waited = now - demand.since
            if ledger.holders[block] > 0 {
                // Readers on all nodes wait for the same blocks, and all at once would crowd around the few holders.
                // Prefetch spreads the blocks faster. A reader asks first where prefetch takes too long, or where few
                // others lack the block.
                let lacking = neighbours.count - Int(ledger.holders[block])
                let isUrgent = waited >= patience || !configuration.prefetches || lacking <= 2
                guard isUrgent || lacking * 3 <= Int(ledger.holders[block]),
                    fetches.fromPeers < (isUrgent ? limit : fetchLimit)
                else { continue }
                if let source = source(for: block, urgent: isUrgent, at: now) {
                    beginPeer(block, source, urgent: isUrgent, at: now)
                    continue
                }
            } else if mayReadStore(at: now), isUnread || waited >= .seconds(5) {
                // The window will soon reach a near block, and more reads at once would only divide the store's rate. A
                // far block is read out of turn, a few at a time, since readers on all nodes may ask alike.
                if isUnread, configuration.prefetches, members.count > 1, waited < deadline {
                    guard isFar ? turn.allowsFar : waited >= patience * 2 else { continue }
                }
                let owner = members.owner(of: block, skipping: { isGone($0, at: now) })
                if owner == configuration.me || owner == nil {
                    guard fetches.fromStore < storeFetchLimit else { continue }
                    beginStore(block, members.owner(of: block) == configuration.me ? .owner : .ownerDead, at: now)
                    continue
                }
                if let owner, fetches.fromPeers < limit, !fetches.isInFlight(block, from: owner) {
                    beginPeer(block, owner, urgent: true, at: now)
                    continue
                }
            }
            if waited >= deadline, turns.budgetUsed < budget, fetches.fromStore < storeFetchLimit,
                mayReadStore(at: now)
            {
                turns.spendBudget()
                beginStore(block, .demandLate, at: now)
            }
        }
    }

    /// How long a reader waits for prefetch to bring a block that few hold or that is about to be read.
    private var demandPatience: SwarmNanoseconds {
        guard arrivals.bestRate > 0 else { return configuration.demandPatience * 2 }
        return max(configuration.demandPatience, arrivals.time(ofBlocks: 40, at: arrivals.bestRate))
    }

    /// Demands examined for each event, the oldest first.
    private static let demandsServed = 32

    /// Counts the demands met so far, in their order, and so decides whether one more far block may be asked for out of
    /// turn.
    private struct DemandTurn {
        private var outOfTurn = 0
        private var awaitedNear = 0
        private var previous = -1
        /// Demanded blocks far from the window that one node has read out of turn at once.
        private static let limit = 2
        /// The largest step between two demands of one reader. A larger step, or one backwards, belongs to another
        /// reader.
        private static let readersStride = 32

        var allowsFar: Bool { outOfTurn + awaitedNear <= Self.limit }

        mutating func meet(_ block: Int, isUnread: Bool, isFar: Bool) {
            if block < previous || block > previous + Self.readersStride { awaitedNear = 0 }
            previous = block
            // A block asked for out of turn counts until it is here. If it counted only until its owner begins to read,
            // one reader would have dozens read at once, each at a small part of the store's rate, and relays would
            // fill all fetches.
            if isFar { outOfTurn += 1 }
            // A reader uses nearby blocks first, so far blocks may wait.
            if !isFar, isUnread { awaitedNear += 1 }
        }
    }

    private func isNearWindow(_ position: Int) -> Bool {
        // A node that is alone takes no turns.
        guard members.count > 1 else { return true }
        let window = originWindow * 2
        return reading.holes(before: position, limit: window) < window
    }

    // MARK: Prefetch

    /// Picks the peer first, then the block: the least busy of a few neighbours picked at random, and the rarest block
    /// that it has for us. The other way round, all nodes would crowd around the few holders of the newest blocks while
    /// other uplinks stand idle.
    ///
    /// Equally rare blocks come in random order, so that no two nodes fetch alike. Blocks that most neighbours hold
    /// come in reading order, so that readers find the next ones.
    private mutating func choose(at now: SwarmInstant) -> (Int, SwarmPeer)? {
        guard !ledger.candidates.isEmpty, !neighbours.isEmpty else { return nil }
        let count = neighbours.count
        let hasFar = imports.zone != nil && !ledger.candidates.isDisjoint(with: imports.crossable)
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
                let price = neighbours.cost(index)
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
        // None of those neighbours: takes any block that some neighbour can give.
        for _ in 0..<4 {
            guard let block = ledger.candidates.member(from: random.below(configuration.blockCount)) else { break }
            if let source = source(for: block, urgent: false, at: now) { return (block, source) }
        }
        return nil
    }

    /// A step that visits every one of `count` places.
    private static func stride(_ count: Int, _ wanted: Int) -> Int {
        var stride = wanted % max(1, count - 1) + 1
        while gcd(stride, count) != 1 { stride += 1 }
        return stride
    }

    private static func gcd(_ left: Int, _ right: Int) -> Int { right == 0 ? left : gcd(right, left % right) }

    /// The rarest block that the neighbour has for us, among up to 64 from a random place on.
    private mutating func rarest(at index: Int, _ now: SwarmInstant) -> Int? {
        let plenty = max(4, UInt64(neighbours.count) * 3 / 4)
        var best: Int?
        var bestKey = UInt64.max
        var random = random
        defer { self.random = random }
        func consider(_ block: Int) {
            let rarity = min(UInt64(ledger.holders[block]), plenty)
            let order = rarity == plenty ? UInt64(position(of: block)) : random.next() >> 33
            let key = rarity << 32 | order
            if key < bestKey {
                bestKey = key
                best = block
            }
        }
        let isNear = neighbours[index].isNear
        for block in neighbours[index].arriving
        where ledger.candidates.contains(Int(block)) && fetches.mayRelay(Int(block), at: now)
            && (isNear || imports.crossable.contains(Int(block)))
        {
            consider(Int(block))
        }
        let words = ledger.candidates.words.count
        let start = random.below(words)
        var seen = 0
        for step in 0..<words where seen < 64 {
            let place = start + step < words ? start + step : start + step - words
            var word = ledger.candidates.words[place] & neighbours[index].blocks.words[place]
            if !isNear { word &= imports.crossable.words[place] }
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
        // Where queues are long everywhere, a node that fell behind and sees only a low rate would find no usable peer.
        let everywhere = neighbours.meanQueue > 2 * configuration.longestQueue ? neighbours.meanQueue * 5 / 4 : 0
        let longest = max(configuration.longestQueue, fastFetches, everywhere)
        let crowd = urgent ? longest * 4 : longest
        let few = max(
            configuration.fetchesPerPeer, max(configuration.peerFetches, 2 * fastFetches) / max(1, neighbours.count))
        let perPeer = urgent ? few + 2 : few
        return neighbours[index].hasMap && neighbours[index].outstanding < perPeer && neighbours[index].queue < crowd
            && now < neighbours[index].lastHeard + configuration.silence
            && !reputations.isBanned(neighbours[index].peer, at: now)
    }

    /// Whether the peer gets no requests now.
    func isGone(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        reputations.isDead(peer, at: now) || reputations.isBanned(peer, at: now)
    }

    /// The neighbour to take `block` from: of two holders picked at random, the one that would send it sooner. nil: all
    /// holders are too busy, banned or silent now.
    mutating func source(
        for block: Int, urgent: Bool, excluding: SwarmPeer? = nil, wholeOnly: Bool = false, at now: SwarmInstant
    ) -> SwarmPeer? {
        // Starts at a random place and takes the first two that will do: as good as two random picks, and cheap.
        let count = neighbours.count
        guard count > 0 else { return nil }
        let start = random.below(count)
        var first: Int?
        for step in 0..<count {
            let index = start + step < count ? start + step : start + step - count
            guard
                neighbours[index].blocks.contains(block)
                    || (!wholeOnly && !neighbours[index].arriving.isEmpty
                        && neighbours[index].arriving.contains(Int32(block)) && fetches.mayRelay(block, at: now))
            else { continue }
            guard neighbours[index].isNear || mayCross(block, urgent: urgent) else { continue }
            guard neighbours[index].peer != excluding, isUsable(index, urgent: urgent, at: now) else { continue }
            guard let earlier = first else {
                first = index
                continue
            }
            return neighbours[neighbours.cost(index) < neighbours.cost(earlier) ? index : earlier].peer
        }
        return first.map { neighbours[$0].peer }
    }

    mutating func beginPeer(_ block: Int, _ peer: SwarmPeer, urgent: Bool, at now: SwarmInstant) {
        var fromArriving = false
        var expected = max(fetches.mean, 1)
        var before = 1
        let slot = neighbours.slot(of: peer)
        if let slot {
            fromArriving = !neighbours[slot].blocks.contains(block)
            neighbours.asked(slot)
            before = max(1, neighbours[slot].queue)
            expected = max(expected, neighbours.cost(slot))
        }
        let id = fetches.begin(
            block, from: peer, urgent: urgent, fromArriving: fromArriving, queue: before, expected: expected, at: now)
        ledger.fetchBegan(block)
        // A block that only full holders have is announced as if it came from the store, so that others ask them for
        // another.
        if configuration.relays, ledger.holders[block] <= 1, let slot, neighbours[slot].blocks.isFull {
            news.arriving(block)
        }
        actions.append(.fetchFromPeer(id, peer, block: block, urgent: urgent))
    }
}
