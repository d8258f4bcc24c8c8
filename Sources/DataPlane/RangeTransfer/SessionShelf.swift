/// The TLS sessions that next connections may resume, by origin.
///
/// Each is offered once: two connections with one ticket can be told to be one client's (RFC 8446, C.4). None is
/// offered after its end, so a chain of resumptions does not outlive the certificates that its first handshake
/// verified.
package struct SessionShelf<Origin: Hashable, Session> {
    private struct Entry {
        let session: Session
        /// Seconds since 1970.
        let end: Int
    }

    /// The newest last; no list is empty.
    private var entries: [Origin: [Entry]] = [:]

    /// A session holds the server's certificates, some kilobytes.
    package static var maximumSessions: Int { 16 }
    package static var maximumOrigins: Int { 64 }

    package init() {}

    package var isEmpty: Bool { entries.isEmpty }

    /// The newest session that has not ended at `now`, and its end; both in seconds since 1970.
    package mutating func take(for origin: Origin, now: Int) -> (session: Session, end: Int)? {
        guard var list = entries.removeValue(forKey: origin) else { return nil }
        while let newest = list.popLast() {
            guard newest.end > now else { continue }
            if !list.isEmpty { entries[origin] = list }
            return (newest.session, newest.end)
        }
        return nil
    }

    /// Drops the oldest of the origin where there are too many, and those of all origins where there are too many
    /// of them.
    package mutating func keep(_ session: Session, for origin: Origin, until end: Int) {
        if entries[origin] == nil, entries.count >= Self.maximumOrigins { entries = [:] }
        entries[origin, default: []].append(Entry(session: session, end: end))
        if entries[origin, default: []].count > Self.maximumSessions { entries[origin]?.removeFirst() }
    }

    package mutating func forget(_ origin: Origin) { entries[origin] = nil }

    package mutating func forgetAll() { entries = [:] }
}
