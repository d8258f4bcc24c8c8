import RangeTransfer
import Testing

/// Which TLS session a next connection resumes.
@Suite struct SessionShelfTests {
    private typealias Shelf = SessionShelf<String, Int>

    /// The sessions that so many connections to `a` are offered.
    private func taken(_ count: Int, of shelf: inout Shelf, now: Int = 0) -> [Int?] {
        var sessions: [Int?] = []
        for _ in 0..<count { sessions.append(shelf.take(for: "a", now: now)?.session) }
        return sessions
    }

    @Test func `the newest is offered first, and each once`() {
        var shelf = Shelf()
        for session in 1...3 { shelf.keep(session, for: "a", until: 100) }
        let sessions = taken(4, of: &shelf)
        #expect(sessions == [3, 2, 1, nil])
        #expect(shelf.isEmpty)
    }

    @Test func `none is offered after its end, and one that has ended does not hide an older one`() {
        var shelf = Shelf()
        shelf.keep(1, for: "a", until: 100)
        shelf.keep(2, for: "a", until: 50)
        let first = shelf.take(for: "a", now: 50)
        #expect(first?.session == 1 && first?.end == 100)
        shelf.keep(3, for: "a", until: 100)
        let late = taken(1, of: &shelf, now: 100)
        #expect(late == [nil])
        #expect(shelf.isEmpty)
    }

    @Test func `those of one origin are forgotten, or all`() {
        var shelf = Shelf()
        for origin in ["a", "b", "c"] { shelf.keep(1, for: origin, until: 100) }
        shelf.forget("a")
        let forgotten = shelf.take(for: "a", now: 0)
        let other = shelf.take(for: "b", now: 0)
        #expect(forgotten == nil && other != nil)
        shelf.forgetAll()
        #expect(shelf.isEmpty)
    }

    @Test func `sessions and origins have a bound`() {
        var shelf = Shelf()
        for session in 0...Shelf.maximumSessions { shelf.keep(session, for: "a", until: 100) }
        let sessions = taken(Shelf.maximumSessions + 1, of: &shelf)
        #expect(sessions == (1...Shelf.maximumSessions).reversed() + [nil])
        for origin in 0...Shelf.maximumOrigins { shelf.keep(1, for: "\(origin)", until: 100) }
        let first = shelf.take(for: "0", now: 0)
        #expect(first == nil)
    }
}
