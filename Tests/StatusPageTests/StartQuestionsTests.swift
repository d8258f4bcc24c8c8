import ClusterPage
import Testing

/// Which ModelCaches' agents are asked about starts.
@Suite struct StartQuestionsTests {
    private let start = ContinuousClock.now

    @Test func `questions go side by side, one for each ModelCache, and the one that waits longest goes first`() {
        var questions = StartQuestions()
        let uids = Set((0..<20).map { "uid-\($0 + 10)" })
        let first = questions.shown(uids, now: start)
        #expect(first == uids.sorted().prefix(StartQuestions.most).map { $0 })
        let none = questions.shown(uids, now: start + .seconds(60))
        #expect(none.isEmpty, "silent agents are asked once")
        questions.isAnswered("uid-12", now: start + .seconds(60))
        let next = questions.shown(uids, now: start + .seconds(66))
        #expect(next == ["uid-18"], "the others were never asked")
    }

    @Test func `an answer is good for an interval, and for as long as the ModelCache is shown`() {
        var questions = StartQuestions()
        let first = questions.shown(["a", "b"], now: start)
        #expect(first == ["a", "b"])
        questions.isAnswered("a", now: start)
        questions.isAnswered("b", now: start + .seconds(1))
        let early = questions.shown(["a", "b"], now: start + .seconds(4))
        #expect(early.isEmpty)
        let due = questions.shown(["a", "b"], now: start + StartQuestions.interval)
        #expect(due == ["a"])
        questions.isAnswered("a", now: start + .seconds(5))
        let gone = questions.shown(["b"], now: start + .seconds(5))
        #expect(gone.isEmpty)
        let again = questions.shown(["a"], now: start + .seconds(6))
        #expect(again == ["a"], "one that comes again is asked at once")
    }
}
