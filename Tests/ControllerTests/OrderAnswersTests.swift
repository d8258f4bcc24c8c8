import Controller
import TestSupport
import Testing

@Suite struct OrderAnswersTests {
    private let start = WallTime(seconds: 1_800_000_000)

    @Test func `A report that was asked for before an order's answer tells nothing of that cache`() {
        var answers = OrderAnswers()
        answers.answered(uid: "a", node: "node-1", now: start + .seconds(2))
        answers.answered(uid: "b", node: "node-1", now: start)
        answers.answered(uid: "a", node: "node-2", now: start)
        let late = answers.reported(node: "node-1", askedAt: start + .seconds(1))
        #expect(late == ["a"])
        let fresh = answers.reported(node: "node-1", askedAt: start + .seconds(3))
        #expect(fresh.isEmpty)
        let other = answers.reported(node: "node-2", askedAt: start)
        #expect(other == ["a"], "asked in the same moment")
        answers.forget(node: "node-2")
        let gone = answers.reported(node: "node-2", askedAt: start)
        #expect(gone.isEmpty)
    }

    /// An agent holds one cache or not. It is asked one question at a time, and orders overtake the question.
    @Test(arguments: SeededRandom.seeds(200))
    func `Whatever overtakes a question, the last word is the agent's`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var answers = OrderAnswers()
        var (now, holds, known) = (start, false, false)
        /// When the question under way left, and what the agent said, once it has.
        var question: (askedAt: WallTime, said: Bool?)?
        for _ in 0..<60 {
            now = now + .milliseconds(Int64.random(in: 0..<3, using: &random))
            switch Int.random(in: 0..<4, using: &random) {
            case 0: if question == nil { question = (now, nil) }
            case 1: if question != nil, question?.said == nil { question?.said = holds }
            case 2:
                guard let answered = question, let said = answered.said else { continue }
                question = nil
                if !answers.reported(node: "n", askedAt: answered.askedAt).contains("a") { known = said }
            default:
                holds.toggle()
                known = holds
                answers.answered(uid: "a", node: "n", now: now)
            }
            #expect(known == holds, "seed \(seed)")
        }
    }
}
