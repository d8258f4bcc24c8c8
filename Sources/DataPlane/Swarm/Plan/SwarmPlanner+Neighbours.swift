// Who is connected to whom, and what they say.

extension SwarmPlanner {
    // MARK: Members

    mutating func adopt(_ members: SwarmMembers, at now: SwarmInstant) {
        self.members = members
        let current = Set(members.all)
        for neighbour in neighbours where !current.contains(neighbour.peer) {
            let peer = neighbour.peer
            for record in fetches where record.peer == peer { cancel(record.id, at: now) }
            if neighbour.isConnected { actions.append(.disconnect(peer)) }
            disconnected(peer, at: now)
            removeNeighbour(peer)
        }
        for peer in Array(reputations.keys) where !current.contains(peer) { reputations[peer] = nil }
        zone = members.zone(of: configuration.me)
        for index in neighbours.indices { neighbours[index].isNear = members.isOneZone(neighbours[index].peer, configuration.me) }
        findOwned(at: now)
        connectMore(at: now)
    }

    func isDead(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        guard let reputation = reputations[peer] else { return false }
        return reputation.deadUntil > now
    }

    // MARK: Connections

    /// Opens connections until there are enough: to all members of a small swarm, else to places on the
    /// ring that this node's number picks at random; about as many come from others.
    mutating func connectMore(at now: SwarmInstant) {
        let others = members.count - 1
        guard others > 0 else { return }
        if others <= configuration.fullMesh {
            for peer in members.all where peer != configuration.me { connect(peer, at: now) }
            return
        }
        let wanted = configuration.neighbours / 2
        // In zones most are near, and two or so far, as many again come from there.
        if let zone { connectMore(of: zone, isNear: true, wanted: min(zone.count - 1, wanted - 2), at: now) }
        connectMore(of: members, isNear: zone == nil ? nil : false, wanted: wanted, at: now)
        // Where hardly anybody is far, the rest are near too.
        if zone != nil { connectMore(of: members, isNear: nil, wanted: wanted, at: now) }
    }

    /// - Parameters:
    ///   - isNear: whom to connect to: those of this zone, those of others, anybody.
    ///   - wanted: connections of this node to have afterwards; of this zone alone where `isNear`.
    private mutating func connectMore(of members: SwarmMembers, isNear: Bool?, wanted: Int, at now: SwarmInstant) {
        var mine = neighbours.reduce(0) { $0 + ($1.isMine && (isNear != true || $1.isNear) ? 1 : 0) }
        var attempts = 0
        let own = SwarmRandom.mix(configuration.seed ^ 0x6e65_6967_6862_6f75)
        // Places that held before come first, so that a reconnection goes to the same members.
        while mine < wanted, attempts < wanted * 8 {
            let peer = members.successor(of: SwarmRandom.mix(own &+ UInt64(attempts)))
            attempts += 1
            guard peer != configuration.me, isNear == nil || self.members.isOneZone(peer, configuration.me) == isNear else { continue }
            if connect(peer, at: now) { mine += 1 }
        }
    }

    @discardableResult
    private mutating func connect(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        guard slots[peer] == nil, (reputations[peer]?.connectAt ?? 0) <= now else { return false }
        let slot = addNeighbour(peer, at: now)
        neighbours[slot].isMine = true
        actions.append(.connect(peer))
        return true
    }

    private mutating func addNeighbour(_ peer: SwarmPeer, at now: SwarmInstant) -> Int {
        slots[peer] = neighbours.count
        neighbours.append(SwarmNeighbour(peer, blockCount: configuration.blockCount, at: now))
        neighbours[neighbours.count - 1].isNear = members.isOneZone(peer, configuration.me)
        return neighbours.count - 1
    }

    private mutating func removeNeighbour(_ peer: SwarmPeer) {
        guard let slot = slots.removeValue(forKey: peer) else { return }
        let last = neighbours.removeLast()
        if slot < neighbours.count {
            neighbours[slot] = last
            slots[last.peer] = slot
        }
    }

    mutating func connected(_ peer: SwarmPeer, at now: SwarmInstant) {
        guard peer != configuration.me else { return }
        if let reputation = reputations[peer], reputation.discreditedUntil > now {
            actions.append(.disconnect(peer))
            return
        }
        let slot: Int
        if let known = slots[peer] {
            slot = known
        } else {
            // Twice as many as wanted is plenty: a popular member turns the rest away.
            guard members.count - 1 <= configuration.fullMesh || neighbours.count < configuration.neighbours * 2 else {
                actions.append(.disconnect(peer))
                return
            }
            slot = addNeighbour(peer, at: now)
        }
        neighbours[slot].isConnected = true
        neighbours[slot].lastHeard = now
        let wasDead = isDead(peer, at: now)
        reputations[peer]?.deadUntil = 0
        if wasDead { findOwned(at: now) }
        actions.append(.sendMap(to: peer))
    }

    mutating func declined(_ peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = slots[peer] else { return }
        forgetBlocks(of: slot)
        removeNeighbour(peer)
        reputations[peer, default: SwarmReputation()].connectAt = now + configuration.longestShun
        connectMore(at: now)
    }

    mutating func disconnected(_ peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = slots[peer] else { return }
        let wasThere = neighbours[slot].isConnected
        forgetBlocks(of: slot)
        removeNeighbour(peer)
        var reputation = reputations[peer] ?? SwarmReputation()
        if !wasThere, now < (started ?? 0) + configuration.beginners {
            // Not up yet, most likely: its blocks stay its own.
            reputation.connectAt = now + .milliseconds(250)
            reputations[peer] = reputation
            return
        }
        reputation.failures += 1
        let wait = backoff(reputation.failures)
        reputation.connectAt = now + wait
        reputation.deadUntil = now + max(wait, .seconds(3)) + .seconds(2)
        reputations[peer] = reputation
        for record in fetches where record.peer == peer { drop(record.id, at: now) }
        findOwned(at: now)
        connectMore(at: now)
    }

    /// The peer keeps failing: the connection to it goes, and with it all that it said to hold, so that others look for these
    /// blocks elsewhere. It may come back later.
    mutating func discredit(_ peer: SwarmPeer, until: SwarmInstant, at now: SwarmInstant) {
        var reputation = reputations[peer] ?? SwarmReputation()
        reputation.discreditedUntil = until
        reputation.connectAt = until
        reputation.deadUntil = until
        reputations[peer] = reputation
        if let slot = slots[peer] {
            if neighbours[slot].isConnected { actions.append(.disconnect(peer)) }
            forgetBlocks(of: slot)
            removeNeighbour(peer)
        }
        believeFirstHandOnly(at: now)
        findOwned(at: now)
        connectMore(at: now)
    }

    func backoff(_ failures: Int) -> SwarmNanoseconds {
        min(configuration.longestShun, configuration.firstShun << UInt64(min(8, max(0, failures - 1))))
    }

    // MARK: Messages

    mutating func heard(_ map: SwarmMap, from peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = slots[peer], map.blocks.capacity == configuration.blockCount else { return }
        forgetBlocks(of: slot)
        neighbours[slot].isConnected = true
        neighbours[slot].hasMap = true
        neighbours[slot].blocks = map.blocks
        neighbours[slot].heldCount = map.blocks.count
        map.blocks.forEach { block in added(block, slot: slot, at: now) }
        for block in map.arriving { arriving(block, slot: slot, at: now) }
        heard(load: map.load, gossip: map.gossip, slot: slot, at: now)
    }

    mutating func heard(_ delta: SwarmDelta, from peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = slots[peer], neighbours[slot].hasMap else { return }
        for block in delta.lost {
            // It was not told while it held the block itself (``news(for:of:)``).
            if block >= 0, block < configuration.blockCount, neighbours[slot].blocks.contains(block), have.contains(block), !pending.held.contains(block) {
                pending.held.append(block)
            }
            removed(block, slot: slot)
        }
        for block in delta.arriving { arriving(block, slot: slot, at: now) }
        for block in delta.held where neighbours[slot].blocks.insert(block) {
            if let place = neighbours[slot].arriving.firstIndex(of: Int32(block)) {
                neighbours[slot].arriving.remove(at: place)
                if zone != nil, neighbours[slot].isNear { inZone.insert(block) }
                markExisting(position(of: block), at: now)
            } else {
                added(block, slot: slot, at: now)
            }
        }
        if let count = delta.heldCount { neighbours[slot].heldCount = count }
        if delta.isFull, !neighbours[slot].blocks.isFull {
            for block in 0..<configuration.blockCount where neighbours[slot].blocks.insert(block) {
                if let place = neighbours[slot].arriving.firstIndex(of: Int32(block)) {
                    neighbours[slot].arriving.remove(at: place)
                } else {
                    added(block, slot: slot, at: now)
                }
            }
        }
        heard(load: delta.load, gossip: delta.gossip, slot: slot, at: now)
    }

    private mutating func heard(load: Int, gossip: SwarmGossip, slot: Int, at now: SwarmInstant) {
        neighbours[slot].lastHeard = now
        neighbours[slot].load = load
        neighbours[slot].sentSinceHeard = 0
        adopt(gossip, at: now)
        if neighbours[slot].blocks.isFull, !isShunned(neighbours[slot].peer, at: now) { heardFull(at: now) }
    }

    private mutating func added(_ block: Int, slot: Int, at now: SwarmInstant) {
        if zone != nil, neighbours[slot].isNear { inZone.insert(block) }
        holders[block] += 1
        markExisting(position(of: block), at: now)
        considerCandidate(block)
    }

    private mutating func arriving(_ block: Int, slot: Int, at now: SwarmInstant) {
        guard block >= 0, block < configuration.blockCount, !neighbours[slot].blocks.contains(block),
            !neighbours[slot].arriving.contains(Int32(block))
        else { return }
        neighbours[slot].arriving.append(Int32(block))
        holders[block] += 1
        claimed.insert(position(of: block))
        considerCandidate(block)
    }

    private mutating func removed(_ block: Int, slot: Int) {
        guard block >= 0, block < configuration.blockCount else { return }
        var held = neighbours[slot].blocks.remove(block)
        if let place = neighbours[slot].arriving.firstIndex(of: Int32(block)) {
            neighbours[slot].arriving.remove(at: place)
            held = true
        }
        guard held else { return }
        holders[block] -= 1
        if holders[block] == 0 {
            removeCandidate(block)
            if !exists.contains(position(of: block)) { claimed.remove(position(of: block)) }
        }
    }

    private mutating func forgetBlocks(of slot: Int) {
        let gone = neighbours[slot]
        gone.blocks.forEach { block in removed(block, slot: slot) }
        for block in gone.arriving { removed(Int(block), slot: slot) }
        neighbours[slot].hasMap = false
    }

    /// The neighbour does not hold the block after all.
    mutating func notThere(_ block: Int, at peer: SwarmPeer) {
        if let slot = slots[peer] { removed(block, slot: slot) }
    }

    // MARK: Speaking

    func arrivingHere() -> [Int] {
        var list: [Int] = []
        for record in fetches where record.bytes > 0 || record.peer == nil {
            if !have.contains(record.block), !list.contains(record.block) { list.append(record.block) }
        }
        return list
    }

    /// Sends what changed, at most once an interval: to each neighbour the blocks that it does not hold itself. Those for whom the same
    /// is new get the same message; for whom nothing is, none before the next heartbeat.
    mutating func flush(at now: SwarmInstant) {
        let something = tellsFull || !pending.held.isEmpty || !pending.arriving.isEmpty || !pending.lost.isEmpty
        guard now >= announceDue(something: something) else { return }
        let isForAll = tellsFull || pending.isFull || !pending.lost.isEmpty || uploads != announcedLoad && uploads <= configuration.idleLoad
        var delta = pending
        pending = SwarmDelta()
        lastAnnounced = now
        announcedLoad = uploads
        tellsFull = false
        let isForEach = tellsAll
        tellsAll = false
        delta.arriving.removeAll { have.contains($0) || inFlight[$0] == 0 }
        delta.load = uploads
        delta.gossip = gossip(at: now)
        if now >= lastCounted + .seconds(1) {
            lastCounted = now
            delta.heldCount = have.count
        }
        var messages: [(news: News, listeners: [SwarmPeer])] = []
        for index in neighbours.indices where neighbours[index].isConnected {
            let news = news(for: neighbours[index], in: delta)
            let isDue = isForEach || now >= neighbours[index].lastTold + configuration.heartbeat || isForAll && !neighbours[index].blocks.isFull
            guard isDue || !news.isEmpty else { continue }
            neighbours[index].lastTold = now
            if let same = messages.firstIndex(where: { $0.news == news }) {
                messages[same].listeners.append(neighbours[index].peer)
            } else {
                messages.append((news, [neighbours[index].peer]))
            }
        }
        for message in messages {
            var told = delta
            told.held = message.news.held.of(delta.held)
            told.arriving = message.news.arriving.of(delta.arriving)
            actions.append(.announce(told, to: message.listeners))
        }
    }

    /// Which of a delta's blocks a neighbour does not hold.
    private struct News: Equatable {
        var held = Selection()
        var arriving = Selection()
        var isEmpty: Bool { held.isEmpty && arriving.isEmpty }
    }

    /// Places of a list, exact among the first 63; of a longer list all from there on, or none.
    private struct Selection: Equatable {
        private var bits: UInt64 = 0
        var isEmpty: Bool { bits == 0 }

        mutating func insert(_ place: Int) { bits |= 1 << UInt64(min(place, 63)) }

        func of(_ list: [Int]) -> [Int] {
            list.indices.compactMap { bits >> UInt64(min($0, 63)) & 1 == 1 ? list[$0] : nil }
        }
    }

    private func news(for neighbour: SwarmNeighbour, in delta: SwarmDelta) -> News {
        var news = News()
        for (place, block) in delta.held.enumerated() where !configuration.suppressesKnown || !neighbour.blocks.contains(block) { news.held.insert(place) }
        for (place, block) in delta.arriving.enumerated() where !configuration.suppressesKnown || !neighbour.blocks.contains(block) {
            news.arriving.insert(place)
        }
        return news
    }

    /// The span of one announcement: two block times of a fast network, where much happens in an interval, and nobody can ask for
    /// what he has not heard of, nor read the next block before he knows of the last. At 100 Gbit/s and 16 MiB a block that is 200
    /// messages a second from each node, a thousandth of a per cent of the bytes.
    private var newsInterval: SwarmNanoseconds {
        guard bestRate > 0 else { return configuration.announceInterval }
        return min(configuration.announceInterval, max(.milliseconds(5), time(ofBlocks: 2, at: bestRate)))
    }

    func announceDue(something: Bool) -> SwarmInstant {
        if something { return lastAnnounced + newsInterval }
        // An uplink about to stand idle is what the others most need to know.
        if uploads < announcedLoad, uploads <= configuration.idleLoad { return lastAnnounced + configuration.loadInterval }
        if abs(uploads - announcedLoad) >= 2 { return lastAnnounced + configuration.loadInterval * 5 }
        return lastAnnounced + configuration.heartbeat
    }
}
