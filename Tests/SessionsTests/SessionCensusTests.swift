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
}
