// Progress and ends of fetches, slow fetches, and periodic upkeep.

extension SwarmPlanner {
    static let upkeepInterval: SwarmNanoseconds = .milliseconds(100)

    // MARK: Ends

    mutating func progressed(_ id: SwarmFetch, bytes: Int, at now: SwarmInstant) {
        guard let record = fetches.progressed(id, bytes: bytes, at: now) else { return }
        if record.bytes == 0, bytes > 0, configuration.relays, record.peer != nil, configuration.relaysPeers {
            news.arriving(record.block)
        }
        arrivals.progressed(byBytes: bytes, at: now)
    }

    mutating func received(_ id: SwarmFetch, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        arrivals.received(at: now)
        if let peer = record.peer {
            let took = Double(now - record.began)
            fetches.measured(took)
            neighbours.measured(took / Double(record.queue), at: peer)
            reputations.served(peer)
        } else {
            turns.owes(record.block)
        }
        hold(record.block, at: now)
    }

    mutating func failed(_ id: SwarmFetch, _ failure: SwarmFetchFailure, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        retract(record, at: now)
        guard let peer = record.peer else {
            if failure != .notBegun { turns.throttle(until: now + .milliseconds(200)) }
            return
        }
        switch failure {
        case .notThere, .otherGeneration: notThere(record.block, at: peer)
        case .corrupt: ban(peer, until: now + configuration.corruptBan, failure, at: now)
        // A relay breaks off because the relay's own source did.
        case .broken where record.fromArriving: notThere(record.block, at: peer)
        case .broken: penalize(peer, failure, at: now)
        case .notBegun: break
        }
        if failure == .otherGeneration { ban(peer, until: now + configuration.longestBan, failure, at: now) }
    }

    private mutating func penalize(_ peer: SwarmPeer, _ failure: SwarmFetchFailure, at now: SwarmInstant) {
        let (failures, tooMany, until) = reputations.failed(peer, at: now)
        ban(peer, until: until, failure, at: now)
        if neighbours.slot(of: peer) == nil {
            guard failures >= 2 else { return }
            // It is no neighbour, so only failing fetches show that it is dead.
            reputations.countAsDead(peer, until: until + .seconds(2))
            findOwned(at: now)
        } else if failures >= tooMany {
            discredit(peer, until: until + .seconds(2), at: now)
        }
    }

    private mutating func ban(
        _ peer: SwarmPeer, until: SwarmInstant, _ failure: SwarmFetchFailure, at now: SwarmInstant
    ) {
        reputations.ban(peer, until: until)
        actions.append(.ban(peer, until: until, failure))
        for record in fetches.records where record.peer == peer { cancel(record.id, at: now) }
        if failure == .corrupt { discredit(peer, until: until, at: now) }
    }

    /// Removes the fetch's record without an action.
    mutating func remove(_ id: SwarmFetch) -> SwarmFetchRecord? {
        guard let record = fetches.end(id) else { return nil }
        ledger.fetchEnded(record.block)
        if let peer = record.peer { neighbours.responded(peer) }
        return record
    }

    mutating func cancel(_ id: SwarmFetch, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        actions.append(.cancel(id))
        retract(record, at: now)
    }

    /// The fetch ended with its connection.
    mutating func drop(_ id: SwarmFetch, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        retract(record, at: now)
    }

    /// A claim ends with the last that made it: a neighbour that gives the block, or a fetch of this node.
    mutating func unclaimIfNobodyReceives(_ block: Int) {
        guard ledger.holders[block] == 0, ledger.inFlight[block] == 0 else { return }
        reading.unclaim(position(of: block))
    }

    /// Takes back the announcement of a block that no longer arrives.
    private mutating func retract(_ record: SwarmFetchRecord, at now: SwarmInstant) {
        guard ledger.inFlight[record.block] == 0, !ledger.have.contains(record.block) else { return }
        if record.fromArriving { fetches.barRelays(of: record.block, until: now + configuration.relayBar) }
        unclaimIfNobodyReceives(record.block)
        if record.peer == nil, !reading.exists.contains(position(of: record.block)) { turns.rewind() }
        guard configuration.relays, record.peer == nil || configuration.relaysPeers else { return }
        news.stopped(record.block)
    }

    // MARK: By the clock

    mutating func upkeep(at now: SwarmInstant) {
        lastUpkeep = now
        arrivals.measure(at: now)
        reading.forgetOldClaims(at: now)
        neighbours.fadeSpeeds()
        fetches.forgetOldBars(at: now)
        neighbours.measureQueues()
        connectMore(at: now)
        skipSilent(at: now)
        watchPace(at: now)
        guard !ledger.isSatisfied else { return }
        watchFetches(at: now)
        arrivals.watchStarvation(unused: budget - turns.budgetUsed, at: now)
        forgetUnverifiedClaims(at: now)
        watchWindow(at: now)
        watchCrossings(at: now)
        readLate(at: now)
        readScarce(at: now)
        if now > arrivals.lastBlock + .seconds(3) { wantMissing(at: now) }
        if now > arrivals.lastProgress + configuration.lastResort, fetches.fromStore == 0, mayReadStore(at: now) {
            // Peers that owe a block for long will not send it either.
            for record in fetches.records where now > record.lastByte + configuration.lastResort / 2 {
                cancel(record.id, at: now)
            }
            let position = firstMissingPosition()
            if position < configuration.blockCount {
                arrivals.tookLastResort(patience: configuration.lastResort, at: now)
                beginStore(block(at: position), .lastResort, at: now)
            }
        }
    }

    private func firstMissingPosition() -> Int {
        for position in 0..<configuration.blockCount {
            let block = block(at: position)
            let isDue = configuration.prefetches || demands.waiting.contains(block)
            if ledger.isMissing(block), ledger.inFlight[block] == 0, isDue { return position }
        }
        return configuration.blockCount
    }

    /// Asks other peers for blocks that silent neighbours owe. A neighbour silent for long counts as dead.
    private mutating func skipSilent(at now: SwarmInstant) {
        for neighbour in neighbours.list {
            let silent = now - min(now, neighbour.lastHeard)
            guard silent > configuration.silence else { continue }
            for record in fetches.records
            where record.peer == neighbour.peer && now > record.lastByte + configuration.silence {
                cancel(record.id, at: now)
            }
            if silent > configuration.silence * 4 {
                for record in fetches.records where record.peer == neighbour.peer { cancel(record.id, at: now) }
                if neighbour.isConnected { actions.append(.disconnect(neighbour.peer)) }
                disconnected(neighbour.peer, at: now)
            }
        }
    }

    /// Gives up fetches that stand still, and overtakes slow ones while the budget lasts.
    private mutating func watchFetches(at now: SwarmInstant) {
        let isEnd = ledger.candidates.isEmpty && reading.isOver
        // A fetch may stand still because others fill this node's link. The allowance is bounded when little arrives,
        // or a swarm in which all wait for each other would wait for ever.
        let inFlight = Double(fetches.records.count * configuration.blockBytes)
        let drain = arrivals.bestRate > 0 ? inFlight / max(arrivals.rate, arrivals.bestRate / 4) : 0
        let learnt = arrivals.learntPatience
        for record in fetches.records where isHopeless(record) { cancel(record.id, at: now) }
        for record in fetches.records {
            // A fetch that was given up took its peer's other fetches with it.
            guard fetches.isInFlight(record.id) else { continue }
            guard let peer = record.peer else {
                if now > record.lastByte + max(configuration.stall * 10, SwarmNanoseconds(fetches.mean * 10)) {
                    cancel(record.id, at: now)
                }
                continue
            }
            let quiet = Double(now - record.lastByte)
            let allowed =
                max(
                    Double(configuration.stall), configuration.patienceFactor * max(record.expected, fetches.mean),
                    2 * drain) * learnt
            if quiet > (record.bytes > 0 || record.fromArriving ? allowed : allowed * 2) {
                arrivals.gaveUp()
                if record.fromArriving {
                    cancel(record.id, at: now)
                    notThere(record.block, at: peer)
                } else {
                    cancel(record.id, at: now)
                    penalize(peer, .broken, at: now)
                }
                continue
            }
            let took = Double(now - record.began)
            // A second fetch would waste the received bytes, so a fetch that is half done goes on alone.
            guard record.urgent || isEnd, took > max(2 * fetches.mean, 100_000_000),
                record.bytes * 2 < configuration.blockBytes,
                ledger.inFlight[record.block] == 1, fetches.hedgesLeft > 0,
                let other = source(for: record.block, urgent: true, excluding: peer, wholeOnly: true, at: now)
            else { continue }
            fetches.spendHedge()
            beginPeer(record.block, other, urgent: true, at: now)
        }
    }

    /// Whether the peer has sent less than half of the block and has far too long a queue, as one with a slow uplink
    /// says of itself. The fetch would take a place that a quicker peer's fetch could have. A block that no other
    /// neighbour holds would be asked of the same peer again, from its first byte on.
    private func isHopeless(_ record: SwarmFetchRecord) -> Bool {
        guard record.bytes * 2 < configuration.blockBytes, let peer = record.peer, let slot = neighbours.slot(of: peer),
            neighbours[slot].load >= 4 * max(configuration.longestQueue, fastFetches, neighbours.meanQueue)
        else { return false }
        return neighbours.list.contains { $0.peer != peer && $0.blocks.contains(record.block) }
    }

    /// Nothing arrives and no neighbour offers anything: asks owners for blocks that exist somewhere.
    private mutating func wantMissing(at now: SwarmInstant) {
        guard ledger.candidates.isEmpty, fetches.fromPeers < 2, configuration.prefetches, mayReadStore(at: now)
        else { return }
        let total = configuration.blockCount
        let start = random.below(total)
        for step in 0..<total {
            let block = (start + step) % total
            guard ledger.isMissing(block), ledger.inFlight[block] == 0, reading.exists.contains(position(of: block))
            else { continue }
            let owner = members.owner(of: block, skipping: { isGone($0, at: now) })
            if owner == configuration.me || owner == nil {
                if fetches.fromStore < storeFetchLimit, isUnreachable(block, at: now) {
                    beginStore(block, members.owner(of: block) == configuration.me ? .owner : .ownerDead, at: now)
                }
            } else if let owner {
                beginPeer(block, owner, urgent: false, at: now)
            }
            return
        }
    }

    mutating func schedule(at now: SwarmInstant) {
        let interval = ledger.have.isFull ? configuration.heartbeat : Self.upkeepInterval
        var due = min(lastUpkeep + interval, announcementDue)
        // No peer could give these blocks just now, but one may soon.
        if fetches.fromPeers < configuration.peerFetches, !ledger.candidates.isEmpty {
            due = min(due, now + .milliseconds(25))
        }
        due = max(due, now + .milliseconds(1))
        guard due < nextTick else { return }
        nextTick = due
        actions.append(.tick(at: due))
    }
}
