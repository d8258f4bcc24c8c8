// What becomes of fetches: progress, ends, slow ones; and what is done by the clock.

extension SwarmPlanner {
    static let upkeepInterval: SwarmNanoseconds = .milliseconds(100)

    // MARK: Ends

    mutating func progressed(_ id: SwarmFetch, bytes: Int, at now: SwarmInstant) {
        guard let place = fetches.firstIndex(where: { $0.id == id }) else { return }
        if fetches[place].bytes == 0, bytes > 0, configuration.relays, fetches[place].peer != nil, configuration.relaysPeers {
            pending.arriving.append(fetches[place].block)
        }
        fetches[place].bytes += bytes
        fetches[place].lastByte = now
        advanced(byBytes: bytes, at: now)
    }

    private mutating func advanced(byBytes bytes: Int, at now: SwarmInstant) {
        bytesSinceProgress += bytes
        guard bytesSinceProgress >= configuration.blockBytes / 8 else { return }
        lastProgress = now
        bytesSinceProgress = 0
    }

    mutating func received(_ id: SwarmFetch, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        lastArrival = now
        advanced(byBytes: configuration.blockBytes, at: now)
        givenUp = 0
        crawl.received()
        hasReceived = true
        rateBytes += configuration.blockBytes
        if let peer = record.peer {
            let took = Double(now - record.began)
            meanFetch = meanFetch == 0 ? took : meanFetch * 0.9 + took * 0.1
            let service = took / Double(record.queue)
            meanService = meanService == 0 ? service : meanService * 0.95 + service * 0.05
            if let slot = slots[peer] {
                let mean = neighbours[slot].service
                neighbours[slot].service = mean == 0 ? service : mean * 0.7 + service * 0.3
            }
            if reputations[peer]?.hasServed != true { reputations[peer, default: SwarmReputation()].hasServed = true }
            reputations[peer]?.failures = 0
        }
        hold(record.block, at: now)
    }

    mutating func failed(_ id: SwarmFetch, _ failure: SwarmFetchFailure, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        retract(record, at: now)
        guard let peer = record.peer else {
            if failure != .notBegun { throttledUntil = max(throttledUntil, now + .milliseconds(200)) }
            return
        }
        switch failure {
        case .notThere, .otherGeneration: notThere(record.block, at: peer)
        case .corrupt: shun(peer, until: now + configuration.corruptShun, failure, at: now)
        // A relayed block that breaks off is its source's source's fault.
        case .broken where record.fromArriving: notThere(record.block, at: peer)
        case .broken: punish(peer, failure, at: now)
        case .notBegun: break
        }
        if failure == .otherGeneration { shun(peer, until: now + configuration.longestShun, failure, at: now) }
    }

    private mutating func punish(_ peer: SwarmPeer, _ failure: SwarmFetchFailure, at now: SwarmInstant) {
        var reputation = reputations[peer] ?? SwarmReputation()
        reputation.failures += 1
        let failures = reputation.failures
        reputations[peer] = reputation
        let until = now + backoff(failures)
        shun(peer, until: until, failure, at: now)
        if slots[peer] == nil {
            guard failures >= 2 else { return }
            // Not a neighbour, so nobody tells of its death but failing fetches.
            reputations[peer]?.deadUntil = until + .seconds(2)
            findOwned(at: now)
        } else if failures >= (reputation.hasServed ? Self.patienceWithServers : Self.patienceWithStrangers) {
            discredit(peer, until: until + .seconds(2), at: now)
        }
    }

    /// Failures in a row after which what a peer says to hold counts for nothing: of one that has served before, and of one
    /// that has not.
    private static let patienceWithServers = 3
    private static let patienceWithStrangers = 2

    private mutating func shun(_ peer: SwarmPeer, until: SwarmInstant, _ failure: SwarmFetchFailure, at now: SwarmInstant) {
        reputations[peer, default: SwarmReputation()].shunnedUntil = until
        actions.append(.shun(peer, until: until, failure))
        for record in fetches where record.peer == peer { cancel(record.id, at: now) }
        if failure == .corrupt { discredit(peer, until: until, at: now) }
    }

    /// Takes the fetch out of the books without an action.
    mutating func remove(_ id: SwarmFetch) -> SwarmFetchRecord? {
        guard let place = fetches.firstIndex(where: { $0.id == id }) else { return nil }
        let record = fetches[place]
        fetches.swapAt(place, fetches.count - 1)
        fetches.removeLast()
        inFlight[record.block] -= 1
        if let peer = record.peer {
            peerFetchCount -= 1
            if let slot = slots[peer] {
                neighbours[slot].outstanding -= 1
                // One request less there, ahead of what it will say itself.
                if neighbours[slot].sentSinceHeard > 0 {
                    neighbours[slot].sentSinceHeard -= 1
                } else if neighbours[slot].load > 0 {
                    neighbours[slot].load -= 1
                }
            }
        } else {
            storeFetchCount -= 1
        }
        considerCandidate(record.block)
        return record
    }

    mutating func cancel(_ id: SwarmFetch, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        actions.append(.cancel(id))
        retract(record, at: now)
    }

    /// The fetch is gone with its connection.
    mutating func drop(_ id: SwarmFetch, at now: SwarmInstant) {
        guard let record = remove(id) else { return }
        retract(record, at: now)
    }

    /// Takes back the announcement of a block that arrives no more.
    private mutating func retract(_ record: SwarmFetchRecord, at now: SwarmInstant) {
        guard inFlight[record.block] == 0, !have.contains(record.block) else { return }
        if record.fromArriving { relayBarred[record.block] = now + configuration.relayBar }
        if record.peer == nil, !exists.contains(position(of: record.block)) {
            if holders[record.block] == 0 { claimed.remove(position(of: record.block)) }
            ownedCursor = 0
        }
        guard configuration.relays, record.peer == nil || configuration.relaysPeers else { return }
        pending.arriving.removeAll { $0 == record.block }
        pending.lost.append(record.block)
    }

    // MARK: By the clock

    mutating func upkeep(at now: SwarmInstant) {
        lastUpkeep = now
        // Sooner on a fast network, where windows and announcements wait for it.
        if now >= rateSince + .milliseconds(500) || rateBytes >= 16 * configuration.blockBytes {
            let current = Double(rateBytes) / Double(now - rateSince)
            rate = rate == 0 ? current : rate * 0.5 + current * 0.5
            bestRate = max(bestRate, rate)
            rateBytes = 0
            rateSince = now
        }
        if now >= hearsaySince + .seconds(2) {
            hearsay = BlockSet(capacity: configuration.blockCount)
            hearsaySince = now
        }
        // What is known of a peer's speed fades, in some seconds: a peer once slow must be asked again to be
        // found quick.
        for slot in neighbours.indices where neighbours[slot].service > 0 {
            neighbours[slot].service = neighbours[slot].service * 0.97 + meanService * 0.03
        }
        if !relayBarred.isEmpty { relayBarred = relayBarred.filter { $0.value > now } }
        meanQueue = neighbours.reduce(0) { $0 + $1.queue } / max(1, neighbours.count)
        connectMore(at: now)
        skipSilent(at: now)
        guard !have.isFull else { return }
        watchFetches(at: now)
        crawl.look(unused: budget - budgetUsed, at: now)
        forgetHearsay(at: now)
        watchWindow(at: now)
        watchCrossings(at: now)
        readLate(at: now)
        readScarce(at: now)
        if now > lastArrival + .seconds(3) { wantMissing(at: now) }
        if now > lastProgress + configuration.lastResort, storeFetchCount == 0, mayReadStore(at: now) {
            // What peers owe since long is not coming either.
            for record in fetches where now > record.lastByte + configuration.lastResort / 2 { cancel(record.id, at: now) }
            let position = firstMissingPosition()
            if position < configuration.blockCount {
                lastProgress = now - configuration.lastResort / 2
                beginStore(block(at: position), .lastResort, at: now)
            }
        }
    }

    private func firstMissingPosition() -> Int {
        for position in 0..<configuration.blockCount {
            let block = block(at: position)
            if !have.contains(block), inFlight[block] == 0, configuration.prefetches || demanded.contains(block) { return position }
        }
        return configuration.blockCount
    }

    /// What silent neighbours owe is asked of others; long silence is death.
    private mutating func skipSilent(at now: SwarmInstant) {
        for neighbour in neighbours {
            let silent = now - min(now, neighbour.lastHeard)
            guard silent > configuration.silence else { continue }
            for record in fetches where record.peer == neighbour.peer && now > record.lastByte + configuration.silence {
                cancel(record.id, at: now)
            }
            if silent > configuration.silence * 4 {
                for record in fetches where record.peer == neighbour.peer { cancel(record.id, at: now) }
                if neighbour.isConnected { actions.append(.disconnect(neighbour.peer)) }
                disconnected(neighbour.peer, at: now)
            }
        }
    }

    /// Gives up fetches that stand still, and overtakes slow ones while the budget lasts.
    private mutating func watchFetches(at now: SwarmInstant) {
        let isEnd = candidates.isEmpty && watermark >= configuration.blockCount
        // A fetch may stand still because the others fill this node's own link. Not much longer the less arrives: a swarm in which all
        // wait for each other would wait for ever.
        let drain = bestRate > 0 ? Double(fetches.count * configuration.blockBytes) / max(rate, bestRate / 4) : 0
        // Whoever gives up one after the other and receives nothing is too impatient: his own link may be slow. Up to the last resort.
        let learnt = Double(1 << min(5, givenUp / 4))
        for record in fetches {
            // One that was given up leaves with all that its peer owed.
            guard fetches.contains(where: { $0.id == record.id }) else { continue }
            guard let peer = record.peer else {
                if now > record.lastByte + max(configuration.stall * 10, SwarmNanoseconds(meanFetch * 10)) { cancel(record.id, at: now) }
                continue
            }
            let quiet = Double(now - record.lastByte)
            let allowed = max(Double(configuration.stall), configuration.patienceFactor * max(record.expected, meanFetch), 2 * drain) * learnt
            if quiet > (record.bytes > 0 || record.fromArriving ? allowed : allowed * 2) {
                givenUp += 1
                if record.fromArriving {
                    cancel(record.id, at: now)
                    notThere(record.block, at: peer)
                } else {
                    cancel(record.id, at: now)
                    punish(peer, .broken, at: now)
                }
                continue
            }
            let took = Double(now - record.began)
            // What has come of it would be lost: one that is half done is left alone.
            guard record.urgent || isEnd, took > max(2 * meanFetch, 100_000_000), record.bytes * 2 < configuration.blockBytes,
                inFlight[record.block] == 1, hedgesLeft > 0,
                let other = source(for: record.block, urgent: true, excluding: peer, wholeOnly: true, at: now)
            else { continue }
            hedgesLeft -= 1
            beginPeer(record.block, other, urgent: true, at: now)
        }
    }

    /// Nothing arrives and no neighbour offers anything: asks owners for blocks that exist somewhere.
    private mutating func wantMissing(at now: SwarmInstant) {
        guard candidates.isEmpty, peerFetchCount < 2, configuration.prefetches, mayReadStore(at: now) else { return }
        let total = configuration.blockCount
        let start = random.below(total)
        for step in 0..<total {
            let block = (start + step) % total
            guard !have.contains(block), inFlight[block] == 0, exists.contains(position(of: block)) else { continue }
            let owner = members.owner(of: block, skipping: { isDead($0, at: now) || isShunned($0, at: now) })
            if owner == configuration.me || owner == nil {
                if storeFetchCount < storeFetchLimit, isUnreachable(block, at: now) {
                    beginStore(block, members.owner(of: block) == configuration.me ? .owner : .ownerDead, at: now)
                }
            } else if let owner {
                beginPeer(block, owner, urgent: false, at: now)
            }
            return
        }
    }

    mutating func schedule(at now: SwarmInstant) {
        let something = tellsFull || !pending.held.isEmpty || !pending.arriving.isEmpty || !pending.lost.isEmpty
        var due = min(lastUpkeep + Self.upkeepInterval, announceDue(something: something))
        if have.isFull { due = min(lastUpkeep + configuration.heartbeat, announceDue(something: something)) }
        // A block that nobody could give just now: somebody may soon.
        if peerFetchCount < configuration.peerFetches, !candidates.isEmpty { due = min(due, now + .milliseconds(25)) }
        due = max(due, now + .milliseconds(1))
        guard due < nextTick else { return }
        nextTick = due
        actions.append(.tick(at: due))
    }
}
