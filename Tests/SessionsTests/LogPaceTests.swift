import Sessions
import Testing

@Suite struct LogPaceTests {
    private let begin = ContinuousClock.now

    @Test func `a loop is logged a few times a minute, with the number of those left out`() {
        var pace = LogPace<String>()
        let most = LogPace<String>.most
        for _ in 0..<most { #expect(pace.admits("a", now: begin) == 0) }
        for _ in 0..<1000 { #expect(pace.admits("a", now: begin + .seconds(30)) == nil) }
        #expect(pace.admits("b", now: begin + .seconds(30)) == 0, "another key has a pace of its own")
        #expect(pace.admits("a", now: begin + .seconds(60)) == 1000)
        #expect(pace.admits("a", now: begin + .seconds(60)) == 0)
    }

    @Test func `the number of keys is bounded, and those beyond it share one pace`() {
        var pace = LogPace<Int>()
        for key in 0..<LogPace<Int>.mostKeys { #expect(pace.admits(key, now: begin) == 0) }
        let beyond = (0..<100).map { pace.admits(100_000 + $0, now: begin) }
        #expect(beyond.count { $0 != nil } == LogPace<Int>.most)
        #expect(pace.admits(200_000, now: begin + .seconds(61)) == 0, "what is over a minute old is forgotten")
    }
}
