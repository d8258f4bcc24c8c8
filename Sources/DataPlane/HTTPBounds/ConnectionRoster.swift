/// The open connections of one port, and the one that is closed for a new one: a value that ``ConnectionRegister``
/// carries out.
///
/// A connection *rests* while the caller owes bytes: before a request's head, or before its body's end. A caller could
/// hold all connections of a port so, each within its deadlines. Beyond ``capacity`` each new connection therefore
/// closes one that rests: of the address with the most of them, the one that has rested for longest. A connection whose
/// request is complete is never closed for another; its response has a deadline, and the server's own limit follows.
package struct ConnectionRoster {
    package typealias ID = UInt64

    private struct Entry {
        let address: String
        /// The moment at which it began to rest, as a sequence number; nil: its request is being answered.
        var restsSince: UInt64?
    }

    package let capacity: Int
    private var entries: [ID: Entry] = [:]
    private var lastID: ID = 0
    private var moment: UInt64 = 0

    package init(capacity: Int) {
        precondition(capacity > 0, "a port without connections")
        self.capacity = capacity
    }

    package var count: Int { entries.count }

    /// - Returns: the connection's number, and that of the connection to close in exchange, if any.
    package mutating func connected(from address: String) -> (id: ID, closing: ID?) {
        lastID += 1
        let closing = entries.count < capacity ? nil : candidate
        if let closing { entries[closing] = nil }
        let since = now()
        entries[lastID] = Entry(address: address, restsSince: since)
        return (lastID, closing)
    }

    /// The caller owes bytes again.
    package mutating func rests(_ id: ID) {
        guard entries[id] != nil, entries[id]?.restsSince == nil else { return }
        let since = now()
        entries[id]?.restsSince = since
    }

    /// A request is complete.
    package mutating func works(_ id: ID) { entries[id]?.restsSince = nil }

    package mutating func disconnected(_ id: ID) { entries[id] = nil }

    private mutating func now() -> UInt64 {
        moment += 1
        return moment
    }

    private var candidate: ID? {
        var resting: [String: (count: Int, oldest: ID, since: UInt64)] = [:]
        for (id, entry) in entries {
            guard let since = entry.restsSince else { continue }
            var found = resting[entry.address] ?? (0, id, since)
            found.count += 1
            if since < found.since { (found.oldest, found.since) = (id, since) }
            resting[entry.address] = found
        }
        return resting.values.max { ($0.count, $1.since) < ($1.count, $0.since) }?.oldest
    }
}
