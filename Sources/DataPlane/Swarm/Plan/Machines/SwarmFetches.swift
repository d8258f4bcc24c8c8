/// The fetches in flight, and how long fetches from peers take.
///
/// ### Invariants
/// - `fromPeers` and `fromStore` count `records`; no two records have one number.
/// - A block has at most two fetches, both from peers, and from two different ones.
package struct SwarmFetches: Sendable {
    /// In no order.
    package private(set) var records: [SwarmFetchRecord] = []
    package private(set) var fromPeers = 0
    package private(set) var fromStore = 0
    /// Fetches that may still begin beside another one of the same block.
    package private(set) var hedgesLeft: Int
    /// Mean time of a fetch from a peer, request to last byte, in nanoseconds; 0: none yet.
    package private(set) var mean: Double = 0
    private var next: UInt64 = 1
    /// Until this time the block is taken only from peers that hold all of it.
    private var relayBarred: [Int: SwarmInstant] = [:]

    package init(hedges: Int) { hedgesLeft = hedges }

    package var isEmpty: Bool { records.isEmpty }
    package func isInFlight(_ id: SwarmFetch) -> Bool { records.contains { $0.id == id } }
    package func isInFlight(_ block: Int, from peer: SwarmPeer) -> Bool {
        records.contains { $0.block == block && $0.peer == peer }
    }

    // MARK: From the beginning to the end

    /// - Parameters:
    ///   - peer: nil: the store.
    ///   - queue: requests in the peer's queue, this one included.
    ///   - expected: nanoseconds that the request will take.
    package mutating func begin(
        _ block: Int, from peer: SwarmPeer?, urgent: Bool, fromArriving: Bool = false, queue: Int = 1,
        expected: Double, at now: SwarmInstant
    ) -> SwarmFetch {
        let id = SwarmFetch(next)
        next += 1
        records.append(
            SwarmFetchRecord(
                id: id, block: block, peer: peer, began: now, lastByte: now, urgent: urgent,
                fromArriving: fromArriving, queue: queue, expected: expected))
        if peer == nil { fromStore += 1 } else { fromPeers += 1 }
        return id
    }

    /// Bytes of a fetch arrived. Returns the fetch as it was before them; nil: it is not in flight.
    package mutating func progressed(_ id: SwarmFetch, bytes: Int, at now: SwarmInstant) -> SwarmFetchRecord? {
        guard let place = records.firstIndex(where: { $0.id == id }) else { return nil }
        let before = records[place]
        records[place].bytes += bytes
        records[place].lastByte = now
        return before
    }

    /// The fetch is over. Returns its record; nil: it was not in flight.
    package mutating func end(_ id: SwarmFetch) -> SwarmFetchRecord? {
        guard let place = records.firstIndex(where: { $0.id == id }) else { return nil }
        let record = records[place]
        records.swapAt(place, records.count - 1)
        records.removeLast()
        if record.peer == nil { fromStore -= 1 } else { fromPeers -= 1 }
        return record
    }

    /// A fetch from a peer brought its block in `nanoseconds`.
    package mutating func measured(_ nanoseconds: Double) {
        mean = mean == 0 ? nanoseconds : mean * 0.9 + nanoseconds * 0.1
    }

    package mutating func spendHedge() {
        precondition(hedgesLeft > 0, "no hedge is left")
        hedgesLeft -= 1
    }

    // MARK: Relays

    /// A relay of the block broke off: other relays may have had the same source.
    package mutating func barRelays(of block: Int, until: SwarmInstant) { relayBarred[block] = until }

    /// Whether the block may be taken from a neighbour that is still receiving it.
    package func mayRelay(_ block: Int, at now: SwarmInstant) -> Bool {
        relayBarred.isEmpty || (relayBarred[block] ?? 0) <= now
    }

    package mutating func forgetOldBars(at now: SwarmInstant) {
        if !relayBarred.isEmpty { relayBarred = relayBarred.filter { $0.value > now } }
    }

    /// Stops the program where an invariant does not hold. For tests and the simulator.
    package func checkInvariants() {
        precondition(fromStore == records.count { $0.peer == nil }, "\(fromStore) reads from the store are counted")
        precondition(fromStore + fromPeers == records.count, "\(fromPeers) fetches from peers are counted")
        for (place, record) in records.enumerated() {
            precondition(record.id.number < next, "\(record.id) was not begun")
            for other in records[..<place] where other.id == record.id || other.block == record.block {
                precondition(other.id != record.id, "\(record.id) is there twice")
                precondition(
                    record.peer != nil && other.peer != nil && record.peer != other.peer,
                    "block \(record.block) is fetched twice from one source, or beside a read from the store")
            }
            precondition(
                records.count { $0.block == record.block } <= 2, "block \(record.block) is fetched three times")
        }
    }
}

/// A fetch in flight.
package struct SwarmFetchRecord: Sendable {
    package let id: SwarmFetch
    package let block: Int
    /// nil: the store.
    package let peer: SwarmPeer?
    package let began: SwarmInstant
    package fileprivate(set) var lastByte: SwarmInstant
    package fileprivate(set) var bytes = 0
    package let urgent: Bool
    /// The block was still arriving at the peer when this node asked for it.
    package let fromArriving: Bool
    /// Requests in its peer's queue when this one was sent, itself included.
    package let queue: Int
    /// Nanoseconds that the request was expected to take.
    package let expected: Double
}
