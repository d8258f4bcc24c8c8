import HTTPBounds
import TestSupport
import Testing

@Suite struct ConnectionPaceTests {
    private let limits = ConnectionPace.Limits()

    private func pace(_ events: (inout ConnectionPace) -> Void = { _ in }) -> ConnectionPace {
        var pace = ConnectionPace(limits: limits)
        #expect(pace.connected() == .passAndCloseAfter(limits.firstHead))
        events(&pace)
        return pace
    }

    @Test func `a request and its answer keep the connection, and each step has its deadline`() {
        var pace = pace()
        for _ in 0..<3 {
            #expect(pace.headArrived() == .passAndCloseAfter(limits.body))
            #expect(pace.bodyArrived() == .pass)
            #expect(pace.requestEnded() == .passAndCloseAfter(limits.answer))
            #expect(pace.answerBegan(closes: false) == .passAndCloseAfter(limits.taking))
            #expect(pace.answerEnded() == .passAndCloseAfter(limits.nextHead))
        }
    }

    @Test func `a request that is answered before its end is the connection's last, and the rest is thrown away`() {
        var pace = pace { _ = $0.headArrived() }
        #expect(pace.answerBegan(closes: false) == .passAndCloseAfter(limits.taking))
        #expect(pace.closesAfterAnswer)
        #expect(pace.bodyArrived() == .pass)
        #expect(pace.answerEnded() == .dropAndCloseAfter(limits.linger))
        #expect(pace.bodyArrived() == .drop)
        #expect(pace.headArrived() == .drop)
        #expect(pace.deadlinePassed() == .close)
    }

    @Test func `a second request before the first one's answer closes the connection`() {
        var receiving = pace { _ = $0.headArrived() }
        #expect(receiving.headArrived() == .close)
        var answering = pace { pace in
            _ = pace.headArrived()
            _ = pace.requestEnded()
        }
        #expect(answering.headArrived() == .close)
        #expect(answering.bodyArrived() == .drop)
    }

    @Test func `an answer that says close closes`() {
        var pace = pace { pace in
            _ = pace.headArrived()
            _ = pace.requestEnded()
        }
        _ = pace.answerBegan(closes: true)
        #expect(pace.answerEnded() == .close)
    }

    @Test(arguments: SeededRandom.seeds(50))
    func `whatever comes in whatever order, a deadline is set until it is closed, and nothing passes afterwards`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var pace = pace()
        var isClosed = false
        for _ in 0..<200 {
            let action = switch Int.random(in: 0..<7, using: &random) {
            case 0: pace.headArrived()
            case 1: pace.bodyArrived()
            case 2: pace.requestEnded()
            case 3: pace.answerBegan(closes: random.chance(1, of: 3))
            case 4, 5: pace.answerEnded()
            default: random.chance(1, of: 20) ? pace.deadlinePassed() : pace.bodyArrived()
            }
            if isClosed { #expect(action == .drop || action == .close, "seed \(seed)") }
            if action == .close { isClosed = true }
            #expect(isClosed == (pace.state == .closed), "seed \(seed)")
        }
    }
}
