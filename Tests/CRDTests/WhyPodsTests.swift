import CRD
import Testing

@Suite struct WhyPodsTests {
    private func lines(_ pods: [WhyObservation.UnservedPod]) -> String {
        let model = ModelCache(metadata: ObjectMeta(name: "gemma", namespace: "models"), spec: ModelCacheSpec(source: Source(uri: "oss://b/p/", region: "cn-x")))
        return Why(WhyObservation(model: model, unservedPods: pods)).lines().joined(separator: "\n")
    }

    @Test func missedPodsAreNamedWithTheCommandThatMendsIt() {
        let text = lines([.init(name: "b", controller: "ReplicaSet x"), .init(name: "a", controller: "ReplicaSet x")])
        #expect(text.contains("2 pods that name it were created without the webhook, so without the model: a and b."))
        #expect(text.contains("kubectl -n models delete pod a b (ReplicaSet x makes new ones)"))
    }

    @Test func podsLeftAloneAreGroupedByTheReason() {
        let text = lines([.init(name: "a", status: "no such mode"), .init(name: "b", status: "no such mode"), .init(name: "c", status: "a mount")])
        #expect(text.contains("2 pods that name it were left alone by the webhook: no such mode (a and b)"))
        #expect(text.contains("A pod that names it was left alone by the webhook: a mount (c)"))
        #expect(text.contains("delete pod c, and create again what nothing else makes anew"))
    }

    @Test func manyPodsAreCounted() {
        let text = lines((10..<30).map { .init(name: "p\($0)", controller: "ReplicaSet x") })
        #expect(text.contains("20 pods") && text.contains("and 15 more") && text.contains("delete pod p10 p11 p12 p13 p14 …"))
        #expect(!text.contains("p15"))
    }
}
