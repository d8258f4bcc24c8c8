// The messages of this node to its neighbours.

extension SwarmPlanner {
    func arrivingHere() -> [Int] {
        var list: [Int] = []
        for record in fetches.records where record.bytes > 0 || record.peer == nil {
            if !ledger.have.contains(record.block), !list.contains(record.block) { list.append(record.block) }
        }
        return list
    }

    /// Sends the changes, at most once an interval, to each neighbour those blocks that it does not hold itself.
    /// Neighbours with equal news get one message. A neighbour without news gets none before the next heartbeat.
    mutating func flush(at now: SwarmInstant) {
        guard now >= announcementDue else { return }
        let isPressing = full.isNews
        full.told()
        let ledger = ledger
        let message = news.take(
            isPressing: isPressing, gossip: gossip(at: now), heldCount: ledger.have.count,
            idleLoad: configuration.idleLoad, at: now,
            isArriving: { !ledger.have.contains($0) && ledger.inFlight[$0] > 0 })
        let delta = message.delta
        var messages: [(share: Share, listeners: [SwarmPeer])] = []
        for slot in neighbours.indices where neighbours[slot].isConnected {
            let share = share(of: neighbours[slot], in: delta)
            let isDue =
                message.isForEach || now >= neighbours[slot].lastTold + configuration.heartbeat
                || message.isForAll && !neighbours[slot].blocks.isFull
            guard isDue || !share.isEmpty else { continue }
            neighbours.told(slot, at: now)
            if let same = messages.firstIndex(where: { $0.share == share }) {
                messages[same].listeners.append(neighbours[slot].peer)
            } else {
                messages.append((share, [neighbours[slot].peer]))
            }
        }
        for message in messages {
            var told = delta
            told.held = message.share.held.of(delta.held)
            told.arriving = message.share.arriving.of(delta.arriving)
            actions.append(.announce(told, to: message.listeners))
        }
    }

    /// The blocks of a delta that a neighbour does not hold.
    private struct Share: Equatable {
        var held = Selection()
        var arriving = Selection()
        var isEmpty: Bool { held.isEmpty && arriving.isEmpty }
    }

    /// Places of a list: exact among the first 63; from there on all or none.
    private struct Selection: Equatable {
        private var bits: UInt64 = 0
        var isEmpty: Bool { bits == 0 }

        mutating func insert(_ place: Int) { bits |= 1 << UInt64(min(place, 63)) }

        func of(_ list: [Int]) -> [Int] {
            list.indices.compactMap { bits >> UInt64(min($0, 63)) & 1 == 1 ? list[$0] : nil }
        }
    }

    private func share(of neighbour: SwarmNeighbour, in delta: SwarmDelta) -> Share {
        var share = Share()
        for (place, block) in delta.held.enumerated()
        where !configuration.suppressesKnown || !neighbour.blocks.contains(block) { share.held.insert(place) }
        for (place, block) in delta.arriving.enumerated()
        where !configuration.suppressesKnown || !neighbour.blocks.contains(block) {
            share.arriving.insert(place)
        }
        return share
    }

    /// The span of one announcement: on a fast network two block times, because a node can neither ask for a block nor
    /// read its next one before it hears the news. At 100 Gbit/s and 16 MiB a block that is 200 messages a second from
    /// each node, a thousandth of a per cent of the bytes.
    private var newsInterval: SwarmNanoseconds {
        guard arrivals.bestRate > 0 else { return configuration.announceInterval }
        let twoBlocks = arrivals.time(ofBlocks: 2, at: arrivals.bestRate)
        return min(configuration.announceInterval, max(.milliseconds(5), twoBlocks))
    }

    var announcementDue: SwarmInstant {
        news.due(interval: newsInterval, isPressing: full.isNews, configuration)
    }
}
