import HTTPBounds
import TestSupport
import Testing

@Suite struct ConnectionRosterTests {
    @Test func `below the capacity nobody makes room`() {
        var roster = ConnectionRoster(capacity: 3)
        for _ in 0..<3 { #expect(roster.connected(from: "a").closing == nil) }
        #expect(roster.count == 3)
    }

    @Test func `the address with the most resting connections gives up the one that has rested for longest`() {
        var roster = ConnectionRoster(capacity: 4)
        let other = roster.connected(from: "b").id
        let first = roster.connected(from: "a").id
        let second = roster.connected(from: "a").id
        let third = roster.connected(from: "a").id
        // The first one sent a request and rests again: the second has rested for longer.
        roster.works(first)
        roster.rests(first)
        #expect(roster.connected(from: "b").closing == second)
        _ = (other, third)
    }

    @Test func `a connection whose request is being answered is never closed for another`() {
        var roster = ConnectionRoster(capacity: 2)
        let working = [roster.connected(from: "a").id, roster.connected(from: "a").id]
        for id in working { roster.works(id) }
        let third = roster.connected(from: "a")
        #expect(third.closing == nil && roster.count == 3)
        roster.works(third.id)
        roster.disconnected(working[0])
        roster.rests(working[1])
        #expect(roster.connected(from: "b").closing == working[1])
    }

    @Test(arguments: SeededRandom.seeds(20))
    func `one address that holds all it can leaves room for each new connection of another`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var roster = ConnectionRoster(capacity: 16)
        var held: Set<ConnectionRoster.ID> = []
        for _ in 0..<500 {
            let isVictim = Int.random(in: 0..<10, using: &random) == 0
            let (id, closing) = roster.connected(from: isVictim ? "api-server" : "attacker")
            if let closing { #expect(held.remove(closing) != nil, "the API server's connection was closed") }
            if isVictim {
                roster.works(id)
                roster.disconnected(id)
            } else {
                held.insert(id)
            }
            #expect(roster.count <= 16)
        }
    }
}
