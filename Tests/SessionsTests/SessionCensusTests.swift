import Sessions
import Testing

@Suite struct SessionCensusTests {
    @Test func `each bound refuses with its number and the remedy, and leaves no count behind`() {
        var census = SessionCensus()
        let one = PeerCredentials(processID: 7, userID: 1000)
        for _ in 0..<SessionCensus.mostOfProcess { #expect(census.arrived(one, .agent) == nil) }
        let refusal = census.arrived(one, .agent)
        #expect(refusal?.contains("process 7 has \(SessionCensus.mostOfProcess)") == true && refusal?.contains("close some") == true)
        #expect(census.arrived(PeerCredentials(processID: 8, userID: 1000), .agent) == nil, "another process is another count")
        census.left(PeerCredentials(processID: 8, userID: 1000), .agent)
        for _ in 0..<SessionCensus.mostOfProcess { census.left(one, .agent) }
        #expect(census.groupCount == 0)
    }

    @Test func `processes that the agent cannot tell apart are bounded by their cache`() {
        var census = SessionCensus()
        let unknown = PeerCredentials(processID: 0, userID: 0)
        var refusals = 0
        for _ in 0..<SessionCensus.mostOfScope + 10 where census.arrived(unknown, .cache("u")) != nil { refusals += 1 }
        #expect(refusals == 10)
        #expect(census.arrived(unknown, .cache("v")) == nil, "another cache has its own bound")
    }

    @Test func `the clients of some caches keep no other tenant and no person out`() {
        var census = SessionCensus()
        var process: Int32 = 0
        func root() -> PeerCredentials {
            process += 1
            return PeerCredentials(processID: process, userID: 0)
        }
        // Four greedy tenants, each of whose pods is root.
        for cache in 0..<4 {
            for _ in 0..<SessionCensus.mostOfScope { #expect(census.arrived(root(), .cache("greedy\(cache)")) == nil) }
            #expect(census.arrived(root(), .cache("greedy\(cache)")) != nil)
        }
        for cache in 0..<3 {
            for _ in 0..<SessionCensus.ownPlaces { #expect(census.arrived(root(), .cache("modest\(cache)")) == nil) }
            #expect(census.arrived(root(), .cache("modest\(cache)"))?.contains("this agent has \(SessionCensus.mostOfAll)") == true)
        }
        for _ in 0..<SessionCensus.ownPlaces { #expect(census.arrived(root(), .agent) == nil, "`modelcache status` of root") }
    }

    @Test func `the users of a machine share the agent's own socket`() {
        var census = SessionCensus()
        for process in 1...Int32(SessionCensus.mostOfUser) { #expect(census.arrived(PeerCredentials(processID: process, userID: 7), .agent) == nil) }
        #expect(census.arrived(PeerCredentials(processID: 9999, userID: 7), .agent)?.contains("user 7") == true)
        #expect(census.arrived(PeerCredentials(processID: 9999, userID: 8), .agent) == nil)
        #expect(census.arrived(PeerCredentials(processID: 9999, userID: 7), .cache("u")) == nil)
    }
}
