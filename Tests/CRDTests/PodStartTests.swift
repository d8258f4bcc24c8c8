import CRD
import TestSupport
import Testing

@Suite struct PodStartTests {
    private func start(_ ends: [PodStart.Step: PodStart.Moment], now: Int64 = 1_000) -> PodStart {
        PodStart(pod: "one", node: "node-1", created: 100, ends: ends, now: now)
    }

    private func seconds(_ start: PodStart) -> [PodStart.Step: Int64] {
        Dictionary(uniqueKeysWithValues: start.phases.map { ($0.step, $0.seconds) })
    }

    @Test func `each phase ends at its moment`() {
        let ready = start([
            .scheduling: .at(101), .volumesAndSandbox: .at(104), .initContainers: .at(110), .containers: .at(117),
            .loading: .at(150),
        ])
        #expect(
            seconds(ready) == [
                .scheduling: 1, .volumesAndSandbox: 3, .initContainers: 6, .containers: 7, .loading: 33,
            ])
        #expect(ready.seconds == 50 && ready.underWay == nil && ready.skewSeconds == 0)
    }

    @Test func `an untold moment gives its time to the next phase`() {
        let ready = start([.scheduling: .at(101), .containers: .at(117), .loading: .at(150)])
        #expect(seconds(ready) == [.scheduling: 1, .containers: 16, .loading: 33])
    }

    @Test func `the first moment that is ahead is under way until now`() {
        let pending = start(
            [
                .scheduling: .at(101), .volumesAndSandbox: .at(104), .containers: .ahead, .loading: .ahead,
            ], now: 160)
        #expect(seconds(pending) == [.scheduling: 1, .volumesAndSandbox: 3, .containers: 56])
        #expect(pending.underWay == .containers && pending.seconds == 60)
    }

    @Test func `a clock that is behind makes no phase negative and is told`() {
        let ready = start([
            .scheduling: .at(104), .volumesAndSandbox: .at(101), .containers: .at(103), .loading: .at(120),
        ])
        #expect(seconds(ready) == [.scheduling: 4, .volumesAndSandbox: 0, .containers: 0, .loading: 16])
        #expect(ready.skewSeconds == 3 && ready.seconds == 20)
    }

    @Test(arguments: SeededRandom.seeds(10))
    func `phases add up to the total for any moments`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<1_000 {
            var ends: [PodStart.Step: PodStart.Moment] = [:]
            for step in PodStart.Step.allCases {
                switch Int.random(in: 0..<5, using: &random) {
                case 0: ends[step] = .untold
                case 1: ends[step] = .ahead
                default: ends[step] = .at(Int64.random(in: 0...300, using: &random))
                }
            }
            let one = start(ends, now: Int64.random(in: 0...300, using: &random))
            #expect(one.phases.reduce(0) { $0 + $1.seconds } == one.seconds, "seed \(seed): \(ends)")
            #expect(one.phases.allSatisfy { $0.seconds >= 0 } && one.skewSeconds >= 0, "seed \(seed): \(ends)")
            #expect(one.underWay == nil || one.underWay == one.phases.last?.step, "seed \(seed): \(ends)")
        }
    }

    @Test func `the table has a column for each phase and marks the one that goes on`() {
        let lines = StartsText.table([
            start([.scheduling: .at(101), .containers: .at(117), .loading: .at(190)]),
            PodStart(pod: "two", node: nil, created: 100, ends: [.scheduling: .ahead], now: 107, restarts: 2),
        ])
        #expect(
            lines.map { $0.split(separator: " ").map(String.init) } == [
                "POD NODE TOTAL SCHEDULING VOLUMES+SANDBOX INIT CONTAINERS LOADING RESTARTS".split(separator: " ")
                    .map(String.init),
                ["one", "node-1", "1m30s", "1s", "-", "-", "16s", "1m13s", "0"],
                ["two", "-", "7s…", "7s…", "-", "-", "-", "-", "2"],
            ])
    }

    @Test func `the annotation names the ModelCaches that a pod was given`() {
        #expect(InjectionMark.cacheUIDs([InjectionMark.injected: "Stream/a,b"]) == ["a", "b"])
        #expect(InjectionMark.cacheUIDs([InjectionMark.injected: "a"]).isEmpty && InjectionMark.cacheUIDs([:]).isEmpty)
    }
}
