import CRD
import TestSupport
import Testing

@Suite struct PodReadingTests {
    /// Created at 100, loads from 117 to 150.
    private func ready(_ reading: PodReading, _ step: PodStart.Step = .loading) -> PodStart {
        cut(
            [
                .scheduling: .at(101), .volumesAndSandbox: .at(104), .initContainers: .at(110), .containers: .at(117),
                .loading: .at(150),
            ], step, by: reading)
    }

    private func cut(
        _ ends: [PodStart.Step: PodStart.Moment], _ step: PodStart.Step = .loading, by reading: PodReading
    ) -> PodStart {
        var start = PodStart(pod: "one", node: "node-1", created: 100, ends: ends, now: 160)
        start.cut(step, by: reading)
        return start
    }

    private func reading(
        opened: Int64, answered: Int64? = nil, firstByte: Int64? = nil, complete: Int64? = nil, ended: Int64? = nil
    ) -> PodReading {
        PodReading(
            node: "node-1", podUID: "u", openedAt: opened, answeredMilliseconds: answered, firstByteMilliseconds: firstByte,
            completeMilliseconds: complete, endedMilliseconds: ended, totalBytes: 1_000_000, cacheBytes: 200_000, copiedBytes: 40_000, peerBytes: 300_000,
            storeBytes: 500_000, waitMilliseconds: ["store": 12_300, "memory": 400])
    }

    private func parts(_ start: PodStart) -> [PodStart.Reading.Part: Int64]? {
        start.reading.map { Dictionary(uniqueKeysWithValues: $0.parts.map { ($0.part, $0.milliseconds) }) }
    }

    @Test func `the phase in which the model is loaded is cut by the agent's moments`() {
        let start = ready(reading(opened: 119_500, answered: 500, firstByte: 1_500, complete: 21_500))
        #expect(parts(start) == [.program: 2_500, .opening: 500, .firstByte: 1_000, .reading: 20_000, .finishing: 9_000])
        #expect(start.reading?.step == .loading && start.reading?.storeBytes == 500_000)
        let waited = ready(reading(opened: 105_000, answered: 100, complete: 4_100), .initContainers)
        #expect(parts(waited) == [.program: 1_000, .opening: 100, .reading: 4_000, .finishing: 900])
    }

    @Test func `an untold first byte gives its time to the reading`() {
        #expect(parts(ready(reading(opened: 118_000, answered: 0, complete: 2_000))) == [.program: 1_000, .opening: 0, .reading: 2_000, .finishing: 30_000])
    }

    @Test func `what has not happened takes the rest`() {
        #expect(parts(ready(reading(opened: 118_000, answered: 1_000))) == [.program: 1_000, .opening: 1_000, .reading: 31_000])
        let loading = cut([.scheduling: .at(101), .containers: .at(117), .loading: .ahead], by: reading(opened: 120_000))
        #expect(parts(loading) == [.program: 3_000, .opening: 40_000] && loading.underWay == .loading)
    }

    @Test func `a clock that differs moves no part out of the phase`() {
        #expect(parts(ready(reading(opened: 0, answered: 118_000, complete: 120_000))) == [.program: 0, .opening: 1_000, .reading: 2_000, .finishing: 30_000])
        #expect(parts(ready(reading(opened: 900_000, answered: 1, complete: 2))) == [.program: 33_000, .opening: 0, .reading: 0, .finishing: 0])
        #expect(parts(ready(reading(opened: .max, answered: .max, complete: .max)))?.values.reduce(0, +) == 33_000)
        #expect(parts(ready(reading(opened: .min, answered: .min, complete: .min)))?.values.reduce(0, +) == 33_000)
    }

    @Test func `the record of a container that ended before is of another start`() {
        #expect(ready(reading(opened: 105_000, answered: 1, complete: 2, ended: 11_000)).reading == nil)
        #expect(ready(reading(opened: 105_000, answered: 1, complete: 2, ended: 13_000)).reading != nil)
    }

    @Test func `a phase that has not begun is not cut`() {
        let pending = cut([.scheduling: .ahead], by: reading(opened: 118_000))
        #expect(pending.reading == nil)
    }

    @Test(arguments: SeededRandom.seeds(10))
    func `parts add up to their phase for any moments`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        func moment() -> Int64? { Int.random(in: 0..<4, using: &random) == 0 ? nil : Int64.random(in: -9_000...60_000, using: &random) }
        for _ in 0..<1_000 {
            let record = reading(
                opened: Int64.random(in: 90_000...170_000, using: &random), answered: moment(), firstByte: moment(), complete: moment())
            for step in PodStart.Step.allCases {
                let start = ready(record, step)
                let phase = start.phases.first { $0.step == step }
                #expect(start.reading?.parts.reduce(0) { $0 + $1.milliseconds } == phase.map { $0.seconds * 1000 }, "seed \(seed): \(record)")
                #expect(start.reading?.parts.allSatisfy { $0.milliseconds >= 0 } == true, "seed \(seed): \(record)")
            }
        }
    }

    @Test func `the second table has a line for each start that an agent tells of`() {
        let lines = StartsText.readings([
            ready(reading(opened: 119_500, answered: 500, complete: 21_500)),
            PodStart(pod: "two", node: nil, created: 100, ends: [.scheduling: .ahead], now: 107),
        ])
        let words = lines.map { $0.split(separator: " ").joined(separator: " ") }
        #expect(words.count == 2)
        #expect(words.first == "POD PHASE PROGRAM OPENING FIRST BYTE READING FINISHING CACHE COPIED PEERS STORE WAITED FOR")
        #expect(words.last == "one LOADING 2.5s 0.5s - 21s 9.0s 200 kB 40 kB 300 kB 500 kB store 12s, memory 0.4s")
        #expect(StartsText.readings([]).isEmpty)
    }
}
