// Control connections to members, and the messages on them.

extension SwarmPlanner {
    // MARK: Members

    mutating func adopt(_ members: SwarmMembers, at now: SwarmInstant) {
        self.members = members
        let current = Set(members.all)
        for neighbour in neighbours.list where !current.contains(neighbour.peer) {
            let peer = neighbour.peer
            for record in fetches.records where record.peer == peer { cancel(record.id, at: now) }
            if neighbour.isConnected { actions.append(.disconnect(peer)) }
            disconnected(peer, at: now)
            neighbours.remove(peer)
        }
        reputations.keep(current)
        turns.keep(current)
        imports.adopt(members.zone(of: configuration.me))
        for slot in neighbours.indices {
            neighbours.setNear(slot, members.isOneZone(neighbours[slot].peer, configuration.me))
        }
        findOwned(at: now)
        connectMore(at: now)
    }

    // MARK: Connections

    /// Opens connections until there are enough: to all members of a small swarm, else to places on the ring that this
    /// node's number picks at random. Other nodes open about as many to this one.
    mutating func connectMore(at now: SwarmInstant) {
        let others = members.count - 1
        guard others > 0 else { return }
        if others <= configuration.fullMesh {
            for peer in members.all where peer != configuration.me { connect(peer, at: now) }
            return
        }
        let wanted = configuration.neighbours / 2
        // With zones most neighbours are near; two or so are far, and about two more connect from there.
        if let zone = imports.zone {
            connectMore(of: zone, isNear: true, wanted: min(zone.count - 1, wanted - 2), at: now)
        }
        connectMore(of: members, isNear: imports.zone == nil ? nil : false, wanted: wanted, at: now)
        // Where hardly any member is far, the remaining neighbours are near too.
        if imports.zone != nil { connectMore(of: members, isNear: nil, wanted: wanted, at: now) }
    }

    /// - Parameters:
    ///   - isNear: the members to connect to: true: of this zone, false: of other zones, nil: any.
    ///   - wanted: connections that this node has opened afterwards; with `isNear`, only those of this zone count.
    private mutating func connectMore(of members: SwarmMembers, isNear: Bool?, wanted: Int, at now: SwarmInstant) {
        var mine = neighbours.list.reduce(0) { $0 + ($1.isMine && (isNear != true || $1.isNear) ? 1 : 0) }
        var attempts = 0
        let own = SwarmRandom.mix(configuration.seed ^ 0x6e65_6967_6862_6f75)
        // The same places come first each time, so that a reconnection goes to the same members.
        while mine < wanted, attempts < wanted * 8 {
            let peer = members.successor(of: SwarmRandom.mix(own &+ UInt64(attempts)))
            attempts += 1
            guard peer != configuration.me, isNear == nil || self.members.isOneZone(peer, configuration.me) == isNear
            else { continue }
            if connect(peer, at: now) { mine += 1 }
        }
    }

    @discardableResult
    private mutating func connect(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        guard neighbours.slot(of: peer) == nil, reputations.mayConnect(peer, at: now) else { return false }
        _ = addNeighbour(peer, isMine: true, at: now)
        actions.append(.connect(peer))
        return true
    }

    private mutating func addNeighbour(_ peer: SwarmPeer, isMine: Bool, at now: SwarmInstant) -> Int {
        neighbours.add(peer, isMine: isMine, isNear: members.isOneZone(peer, configuration.me), at: now)
    }

    mutating func connected(_ peer: SwarmPeer, at now: SwarmInstant) {
        guard peer != configuration.me else { return }
        if reputations.isDiscredited(peer, at: now) {
            actions.append(.disconnect(peer))
            return
        }
        let slot: Int
        if let known = neighbours.slot(of: peer) {
            slot = known
        } else {
            // Twice as many as wanted are enough: a popular member turns the rest away.
            guard members.count - 1 <= configuration.fullMesh || neighbours.count < configuration.neighbours * 2 else {
                actions.append(.disconnect(peer))
                return
            }
            slot = addNeighbour(peer, isMine: false, at: now)
        }
        // It may be another process than before, which knows nothing of turns.
        if !neighbours[slot].isConnected, turns.takeBack(from: peer) { findOwned(at: now) }
        neighbours.connected(slot, at: now)
        if reputations.connected(peer, at: now) { findOwned(at: now) }
        actions.append(.sendMap(to: peer))
    }

    mutating func declined(_ peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = neighbours.slot(of: peer) else { return }
        forgetBlocks(of: slot)
        neighbours.remove(peer)
        reputations.connectNotBefore(now + configuration.longestBan, to: peer)
        connectMore(at: now)
    }

    mutating func disconnected(_ peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = neighbours.slot(of: peer) else { return }
        let wasThere = neighbours[slot].isConnected
        forgetBlocks(of: slot)
        neighbours.remove(peer)
        if !wasThere, now < (started ?? 0) + configuration.beginners {
            // Most likely the member has not started yet, so it keeps its blocks.
            reputations.connectNotBefore(now + .milliseconds(250), to: peer)
            return
        }
        reputations.disconnected(peer, at: now)
        turns.takeBack(from: peer)
        turns.forgetTurns(of: peer)
        for record in fetches.records where record.peer == peer { drop(record.id, at: now) }
        findOwned(at: now)
        connectMore(at: now)
    }

    /// The peer keeps failing. This node closes the connection and forgets the peer's blocks, so that it looks for them
    /// elsewhere. The peer may come back later.
    mutating func discredit(_ peer: SwarmPeer, until: SwarmInstant, at now: SwarmInstant) {
        reputations.discredit(peer, until: until)
        turns.takeBack(from: peer)
        if let slot = neighbours.slot(of: peer) {
            if neighbours[slot].isConnected { actions.append(.disconnect(peer)) }
            forgetBlocks(of: slot)
            neighbours.remove(peer)
        }
        believeFirstHandOnly(at: now)
        findOwned(at: now)
        connectMore(at: now)
    }

    // MARK: Messages

    mutating func heard(_ map: SwarmMap, from peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = neighbours.slot(of: peer), map.blocks.capacity == configuration.blockCount else { return }
        forgetBlocks(of: slot)
        neighbours.takeMap(map.blocks, from: slot)
        map.blocks.forEach { block in
            ledger.holderCame(block)
            holdsNow(block, slot: slot, at: now)
        }
        for block in map.arriving { arriving(block, slot: slot) }
        heard(load: map.load, gossip: map.gossip, slot: slot, at: now)
    }

    mutating func heard(_ delta: SwarmDelta, from peer: SwarmPeer, at now: SwarmInstant) {
        guard let slot = neighbours.slot(of: peer), neighbours[slot].hasMap else { return }
        for block in delta.lost {
            if neighbours[slot].blocks.contains(block), ledger.have.contains(block) { news.heldHereToo(block) }
            removed(block, slot: slot)
        }
        for block in delta.arriving { arriving(block, slot: slot) }
        for block in delta.held { held(block, slot: slot, at: now) }
        if let count = delta.heldCount { neighbours.counts(count, at: slot, now) }
        if delta.isFull, !neighbours[slot].blocks.isFull {
            for block in 0..<configuration.blockCount { held(block, slot: slot, at: now) }
        }
        heard(load: delta.load, gossip: delta.gossip, slot: slot, at: now)
        handed(delta.handed, by: slot, at: now)
    }

    private mutating func heard(load: Int, gossip: SwarmGossip, slot: Int, at now: SwarmInstant) {
        neighbours.heard(slot, load: load, at: now)
        adopt(gossip, at: now)
        if neighbours[slot].blocks.isFull, !reputations.isBanned(neighbours[slot].peer, at: now) {
            full.heard(at: now, started: started)
        }
    }

    private mutating func held(_ block: Int, slot: Int, at now: SwarmInstant) {
        let change = neighbours.holds(block, at: slot)
        guard change != .nothing else { return }
        if change == .gives { ledger.holderCame(block) }
        holdsNow(block, slot: slot, at: now)
    }

    private mutating func holdsNow(_ block: Int, slot: Int, at now: SwarmInstant) {
        if neighbours[slot].isNear { imports.cameIn(block) }
        reading.held(position(of: block), at: now)
    }

    private mutating func arriving(_ block: Int, slot: Int) {
        guard neighbours.receives(block, at: slot) == .gives else { return }
        ledger.holderCame(block)
        reading.claim(position(of: block))
    }

    private mutating func removed(_ block: Int, slot: Int) {
        guard neighbours.forgetsBlock(block, at: slot) else { return }
        ledger.holderWent(block)
        unclaimIfNobodyReceives(block)
    }

    private mutating func forgetBlocks(of slot: Int) {
        let gone = neighbours[slot]
        gone.blocks.forEach { block in removed(block, slot: slot) }
        for block in gone.arriving { removed(Int(block), slot: slot) }
        neighbours.forgetsMap(slot)
    }

    /// The neighbour does not hold the block after all.
    mutating func notThere(_ block: Int, at peer: SwarmPeer) {
        if let slot = neighbours.slot(of: peer) { removed(block, slot: slot) }
    }
}
