import Testing
import Transfer

@Suite struct CopySilenceTests {
    private func unit(_ chunk: Int) -> CopyPlan.Unit { CopyPlan.Unit(file: 0, chunks: chunk..<chunk + 1) }

    @Test func `a unit that stands still is told after a while, and one that goes on is not`() {
        var silence = CopySilence()
        let start = ContinuousClock.now
        for second in 0..<5 {
            let steps = [unit(0): 3, unit(1): second, unit(2): 0]
            #expect(silence.look(steps, now: start + .seconds(second)).isEmpty, "\(second)")
        }
        #expect(silence.look([unit(0): 3, unit(1): 5, unit(2): 0], now: start + .seconds(5)) == [unit(0), unit(2)])
        #expect(silence.look([unit(0): 3, unit(1): 6, unit(2): 1], now: start + .seconds(6)) == [unit(0)])
        // Another one under the same number begins anew.
        #expect(silence.look([unit(1): 7], now: start + .seconds(7)).isEmpty)
        #expect(silence.look([unit(0): 3, unit(1): 7], now: start + .seconds(11)).isEmpty)
        #expect(silence.look([unit(0): 3, unit(1): 8], now: start + .seconds(16)) == [unit(0)])
    }
}
