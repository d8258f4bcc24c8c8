/// Failures of peers, neighbours or not, and the penalties for them. A peer without an entry has a good name.
package struct SwarmReputations: Sendable {
    private struct Reputation: Sendable {
        /// Failed fetches in a row.
        var failures = 0
        /// It has sent a block.
        var hasServed = false
        /// It gets no requests before this time.
        var bannedUntil: SwarmInstant = 0
        /// It counts as dead before this time; a connection to it ends that.
        var deadUntil: SwarmInstant = 0
        /// Neither side may connect before this time.
        var discreditedUntil: SwarmInstant = 0
        /// This node opens no connection to it before this time.
        var connectAt: SwarmInstant = 0
    }

    private var entries: [SwarmPeer: Reputation] = [:]
    private let firstBan: SwarmNanoseconds
    private let longestBan: SwarmNanoseconds

    package init(firstBan: SwarmNanoseconds, longestBan: SwarmNanoseconds) {
        self.firstBan = firstBan
        self.longestBan = longestBan
    }

    package func isDead(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        !entries.isEmpty && (entries[peer]?.deadUntil ?? 0) > now
    }
    package func isBanned(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        !entries.isEmpty && (entries[peer]?.bannedUntil ?? 0) > now
    }
    package func isDiscredited(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        (entries[peer]?.discreditedUntil ?? 0) > now
    }
    package func mayConnect(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool { (entries[peer]?.connectAt ?? 0) <= now }
    package func isAnyDead(at now: SwarmInstant) -> Bool { entries.values.contains { $0.deadUntil > now } }
    package func bannedCount(at now: SwarmInstant) -> Int { entries.values.count { $0.bannedUntil > now } }

    /// 1, 2, 4 ... times ``SwarmPlannerConfiguration/firstBan``.
    private func backoff(_ failures: Int) -> SwarmNanoseconds {
        min(longestBan, firstBan << UInt64(min(8, max(0, failures - 1))))
    }

    // MARK: Connections

    /// Returns whether the peer counted as dead.
    package mutating func connected(_ peer: SwarmPeer, at now: SwarmInstant) -> Bool {
        let wasDead = isDead(peer, at: now)
        entries[peer]?.deadUntil = 0
        return wasDead
    }

    /// This node opens no connection to the peer before `time`.
    package mutating func connectNotBefore(_ time: SwarmInstant, to peer: SwarmPeer) {
        entries[peer, default: Reputation()].connectAt = time
    }

    /// Its connection ended or could not be opened: it counts as dead for a while.
    package mutating func disconnected(_ peer: SwarmPeer, at now: SwarmInstant) {
        var entry = entries[peer] ?? Reputation()
        entry.failures += 1
        let wait = backoff(entry.failures)
        entry.connectAt = now + wait
        entry.deadUntil = now + max(wait, .seconds(3)) + .seconds(2)
        entries[peer] = entry
    }

    package mutating func keep(_ members: Set<SwarmPeer>) {
        for peer in Array(entries.keys) where !members.contains(peer) { entries[peer] = nil }
    }

    // MARK: Fetches

    package mutating func served(_ peer: SwarmPeer) {
        if entries[peer]?.hasServed != true { entries[peer, default: Reputation()].hasServed = true }
        entries[peer]?.failures = 0
    }

    /// A fetch from the peer failed. Returns the failures in a row, how many are too many, and the end of the ban that
    /// they are worth.
    package mutating func failed(_ peer: SwarmPeer, at now: SwarmInstant)
        -> (failures: Int, tooMany: Int, bannedUntil: SwarmInstant)
    {
        var entry = entries[peer] ?? Reputation()
        entry.failures += 1
        entries[peer] = entry
        let tooMany = entry.hasServed ? Self.patienceWithServers : Self.patienceWithStrangers
        return (entry.failures, tooMany, now + backoff(entry.failures))
    }

    /// Failures in a row after which this node disbelieves a peer's announcements: for a peer that has served before,
    /// and for one that has not.
    private static let patienceWithServers = 3
    private static let patienceWithStrangers = 2

    package mutating func ban(_ peer: SwarmPeer, until: SwarmInstant) {
        entries[peer, default: Reputation()].bannedUntil = until
    }

    package mutating func countAsDead(_ peer: SwarmPeer, until: SwarmInstant) { entries[peer]?.deadUntil = until }

    /// No connection with the peer, and no belief in it.
    package mutating func discredit(_ peer: SwarmPeer, until: SwarmInstant) {
        var entry = entries[peer] ?? Reputation()
        entry.discreditedUntil = until
        entry.connectAt = until
        entry.deadUntil = until
        entries[peer] = entry
    }
}
