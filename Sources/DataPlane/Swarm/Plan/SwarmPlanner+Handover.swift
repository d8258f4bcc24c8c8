// Slow nodes hand their turns at the store over to others.

extension SwarmPlanner {
    /// A node with less than this share of the usual pace is slow.
    private static let slowPace = 0.25

    // MARK: This node is slow

    mutating func uploaded(_ change: SwarmUpload, to peer: SwarmPeer, block: Int, at now: SwarmInstant) {
        lookAtUplink(at: now)
        uplink.changed(change, to: peer, counts: isQuick(peer))
        if change == .sent { turns.passedOn(block) }
    }

    private mutating func lookAtUplink(at now: SwarmInstant) {
        let (neighbours, least) = (neighbours, usualPace * Self.slowPace)
        uplink.look(
            pace: usualPace,
            isCounted: { peer in
                neighbours.slot(of: peer).map { least > 0 && neighbours[$0].pace.best >= least } ?? false
            }, at: now)
        news.setSlowness(uplink.slowness)
    }

    private func isQuick(_ peer: SwarmPeer) -> Bool {
        guard usualPace > 0, let slot = neighbours.slot(of: peer) else { return false }
        return neighbours[slot].pace.best >= usualPace * Self.slowPace
    }

    /// Measures this node's link and uplink. Where one is slow, its quick neighbours get its turns at the store, each
    /// the same number: all nodes would wait for each block that this node reads.
    mutating func watchPace(at now: SwarmInstant) {
        let own = arrivals.bestRate / Double(max(1, configuration.blockBytes))
        usualPace = neighbours.usualPace(own: own)
        lookAtUplink(at: now)
        guard members.count > 1, usualPace > 0 else { return }
        // Little may arrive because the store is slow. The link is slow where neighbours offer more than it takes.
        let isLinkSlow = own > 0 && own < usualPace * Self.slowPace && !ledger.candidates.isEmpty
        guard uplink.isSlow || isLinkSlow else { return }
        let quick = neighbours.list.filter {
            $0.isConnected && $0.hasMap && $0.takesTurns && !$0.isSlow && isQuick($0.peer)
                && now < $0.lastHeard + configuration.silence && !reputations.isBanned($0.peer, at: now)
        }
        guard !quick.isEmpty else { return }
        let unread = turns.owned[turns.cursor...].map { Int($0) }.filter { position in
            !reading.exists.contains(position) && !reading.isClaimed(position)
                && ledger.isMissing(block(at: position))
        }
        // A block that this node holds and has passed on to nobody is read once more, by another node.
        let blocks = unread.map { block(at: $0) } + (uplink.isSlow ? turns.owed.sorted() : [])
        guard !blocks.isEmpty else { return }
        handOver(blocks, to: quick.map(\.peer), at: now)
        findOwned(at: now)
    }

    private mutating func handOver(_ blocks: [Int], to peers: [SwarmPeer], at now: SwarmInstant) {
        let first = random.below(peers.count)
        var shares = [[Int]](repeating: [], count: peers.count)
        for (place, block) in blocks.enumerated() {
            let receiver = (first + place) % peers.count
            shares[receiver].append(block)
            turns.handOver(block, to: peers[receiver])
        }
        for (peer, share) in zip(peers, shares) where !share.isEmpty {
            var delta = SwarmDelta(load: news.load, gossip: gossip(at: now))
            delta.handed = share
            // The receiver reads again those that it knows to be held, and may not have heard of the newest.
            delta.held = share.filter { ledger.have.contains($0) }
            actions.append(.announce(delta, to: [peer]))
        }
    }

    // MARK: Another node is slow

    /// A slow peer hands its turns over to this node.
    mutating func handed(_ blocks: [Int], by slot: Int, at now: SwarmInstant) {
        guard !blocks.isEmpty else { return }
        neighbours.markSlow(slot)
        let peer = neighbours[slot].peer
        // Twice an even share: nodes that disagree about the members give one of them more, a faulty one everything.
        var space = max(64, 2 * configuration.blockCount / max(1, members.count)) - turns.takenCount(from: peer)
        var isAnyNew = false
        // A block that was given up here may be wanted later, and its owner will not read it then.
        for block in blocks where !ledger.have.contains(block) {
            if turns.taken[block] == nil {
                guard space > 0 else { break }
                space -= 1
                turns.take(block, from: peer)
                isAnyNew = true
            }
            guard ledger.isMissing(block), reading.exists.contains(position(of: block)) else { continue }
            turns.readAgain(block, insteadOf: peer, atMost: max(16, configuration.blockCount / 8))
        }
        if isAnyNew { findOwned(at: now) }
    }

    /// Reads blocks again whose only holders cannot pass them on.
    mutating func readAgain(at now: SwarmInstant) {
        var later: [SwarmSlowHolder] = []
        for held in turns.takeAgain() where ledger.isMissing(held.block) {
            let block = held.block
            guard fetches.fromStore < storeFetchLimit, now >= turns.throttledUntil else {
                later.append(held)
                continue
            }
            let isElsewhere =
                neighbours.list.contains { $0.peer != held.holder && $0.blocks.contains(block) }
                || fetches.records.contains { $0.block == block && $0.peer != held.holder && !$0.fromArriving }
            guard !isElsewhere else { continue }
            for record in fetches.records where record.block == block { cancel(record.id, at: now) }
            if reading.exists.contains(position(of: block)) { reading.readAgain(position(of: block), at: now) }
            beginStore(block, .handedOver, at: now)
        }
        turns.readLater(later)
    }
}
