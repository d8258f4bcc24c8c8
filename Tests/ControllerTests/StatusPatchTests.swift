import CRD
import Controller
import Kubernetes
import TestSupport
import Testing

/// The quick patch is the same as the one made of both statuses' whole JSON.
@Suite struct StatusPatchTests {
    private func status(_ draw: inout SeededRandom) -> ModelCacheStatus {
        func maybe<Value>(_ value: Value) -> Value? { Bool.random(using: &draw) ? value : nil }
        func some(_ names: [String]) -> [String] { names.filter { _ in Bool.random(using: &draw) } }
        let details = some(["a", "b", "c"]).map {
            NodeDetail(name: $0, state: NodeDetail.State.allCases.randomElement(using: &draw) ?? .ready, percent: Int.random(in: 0...100, using: &draw), message: maybe("why"))
        }
        return ModelCacheStatus(
            observedGeneration: maybe(Int64.random(in: 1...2, using: &draw)), phase: maybe(.ready),
            conditions: some(["now", "then"]).map {
                Condition(type: .ready, status: .true, lastTransitionTime: $0, reason: .allNodesReady, message: "m")
            },
            source: maybe(SourceStatus(totalBytes: 1, files: 2, digest: maybe("sha256:aa"), region: maybe("cn-a"))),
            medium: maybe(.disk),
            nodes: maybe(NodesStatus(desired: Int.random(in: 0...1, using: &draw), summary: maybe("1/2"), details: details)),
            seeders: some(["a", "b"]), departed: maybe(DepartedNodes(names: some(["a", "b"]), leftOut: Int.random(in: 0...1, using: &draw))), progress: maybe(ProgressStatus(remainingSeconds: maybe(3), summary: maybe("4%"))),
            traffic: maybe(TrafficStatus(originBytes: Int64.random(in: 0...1, using: &draw))))
    }

    @Test func itIsTheDifferenceOfTheWholes() throws {
        let seed = SeededRandom.seed
        var draw = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let (old, new) = (status(&draw), status(&draw))
            let wanted = MergePatch.difference(from: try MergePatch.json(old), to: try MergePatch.json(new))
            #expect(try StatusPatch.difference(from: old, to: new) == wanted, "seed \(seed)")
            #expect(try StatusPatch.difference(from: old, to: old) == nil)
            #expect(try StatusPatch.difference(from: nil, to: new) == MergePatch.json(new))
        }
    }
}
